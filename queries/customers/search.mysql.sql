-- Customers by a part of their first or last name.
-- @param name text - a part of the name, in upper or lower case
SELECT customer_id, first_name, last_name, city, country
FROM customer
WHERE lower(concat(first_name, ' ', last_name)) LIKE concat('%', lower(:name), '%')
ORDER BY last_name, first_name, customer_id;
