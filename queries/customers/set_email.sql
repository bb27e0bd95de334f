-- :result :returning
-- Change a customer's e-mail address.
-- @param customer_id integer - the customer's key
-- @param email text pattern '[^@\s]+@[^@\s]+' - the new address
UPDATE customer
SET email = :email
WHERE customer_id = :customer_id
RETURNING customer_id, first_name, last_name, email;
