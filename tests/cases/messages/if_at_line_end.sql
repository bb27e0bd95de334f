SELECT * FROM invoice
WHERE customer_id = :customer_id
  AND billing_country = :country -- @if country
