-- :result :returning
-- Set an invoice's total to the sum of its lines.
-- @param invoice_id integer - the invoice's key
INSERT INTO invoice (invoice_id, customer_id, invoice_date, total) -- the row itself: MariaDB has no UPDATE … RETURNING
SELECT i.invoice_id, i.customer_id, i.invoice_date, (
    SELECT round(coalesce(sum(l.unit_price * l.quantity), 0), 2)
    FROM invoice_line l
    WHERE l.invoice_id = i.invoice_id
)
FROM invoice i
WHERE i.invoice_id = :invoice_id
ON DUPLICATE KEY UPDATE total = values(total)
RETURNING invoice_id, total;
