-- :result :returning
-- Set an invoice's total to the sum of its lines.
-- @param invoice_id integer - the invoice's key
UPDATE invoice
SET total = (
    SELECT round(coalesce(sum(l.unit_price * l.quantity), 0), 2)
    FROM invoice_line l
    WHERE l.invoice_id = invoice.invoice_id
)
WHERE invoice_id = :invoice_id
RETURNING invoice_id, total;
