-- Invoices of one customer, newest first.
-- @param customer_id integer - the customer's key
-- @param since timestamp = 2000-01-01 - invoices of this day and later
-- @limit 10 max 100
SELECT invoice_id, invoice_date, billing_country, total
FROM invoice
WHERE customer_id = :customer_id
  AND invoice_date >= :since
ORDER BY invoice_date DESC, invoice_id DESC;
