SELECT invoice_id
FROM invoice
WHERE a = :a
-- @if country
  AND billing_country = :country
ORDER BY invoice_id
