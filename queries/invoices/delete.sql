-- :result :exec
-- Delete an invoice with its lines.
-- @param invoice_id integer - the invoice's key
DELETE FROM invoice
WHERE invoice_id = :invoice_id;
