-- :result :returning
-- Add a customer.
-- @param first_name text len 1..40 - first name
-- @param last_name text len 1..40 - last name
-- @param email text pattern '[^@\s]+@[^@\s]+' - e-mail address; each exists once
-- @param country text? = null - country
-- @param support_rep_id integer? = null - the employee who looks after them
INSERT INTO customer (first_name, last_name, email, country, support_rep_id)
VALUES (:first_name, :last_name, :email, :country, :support_rep_id)
RETURNING customer_id, first_name, last_name, email, country, support_rep_id;
