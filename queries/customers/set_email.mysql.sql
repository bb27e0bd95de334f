-- :result :returning
-- Change a customer's e-mail address.
-- @param customer_id integer - the customer's key
-- @param email text pattern '[^@\s]+@[^@\s]+' - the new address
INSERT INTO customer (customer_id, first_name, last_name, email) -- the row itself: MariaDB has no UPDATE … RETURNING
SELECT customer_id, first_name, last_name, :email
FROM customer
WHERE customer_id = :customer_id
ON DUPLICATE KEY UPDATE email = values(email)
RETURNING customer_id, first_name, last_name, email;
