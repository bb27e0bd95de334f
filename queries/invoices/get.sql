-- :result :one
-- One invoice with its customer.
-- @param invoice_id integer - the invoice's key
SELECT
    i.invoice_id,
    i.invoice_date,
    i.customer_id,
    c.first_name,
    c.last_name,
    i.billing_city,
    i.billing_country,
    i.total
FROM invoice i
JOIN customer c ON c.customer_id = i.customer_id
WHERE i.invoice_id = :invoice_id;
