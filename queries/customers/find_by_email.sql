-- :result :one?
-- The customer with this e-mail address, or null.
-- @param email text - the whole address, in upper or lower case
SELECT customer_id, first_name, last_name, email
FROM customer
WHERE lower(email) = lower(:email);
