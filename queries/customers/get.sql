-- :result :one
-- One customer, with what they spent so far.
-- @param customer_id integer - the customer's key
SELECT
    c.customer_id,
    c.first_name,
    c.last_name,
    c.company,
    c.city,
    c.country,
    c.email,
    count(i.invoice_id) AS invoices,
    round(coalesce(sum(i.total), 0), 2) AS spent
FROM customer c
LEFT JOIN invoice i ON i.customer_id = c.customer_id
WHERE c.customer_id = :customer_id
GROUP BY c.customer_id, c.first_name, c.last_name, c.company, c.city, c.country, c.email;
