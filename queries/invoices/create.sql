-- :result :returning
-- Begin an invoice of today, billed to the customer's address.
-- @param customer_id integer - the customer's key
INSERT INTO invoice (
    customer_id, invoice_date, billing_address, billing_city, billing_state, billing_country, billing_postal_code
)
SELECT customer_id, CURRENT_TIMESTAMP, address, city, state, country, postal_code
FROM customer
WHERE customer_id = :customer_id
RETURNING invoice_id, customer_id, invoice_date, billing_country, total;
