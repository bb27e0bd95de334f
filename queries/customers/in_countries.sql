-- Customers who live in one of some countries.
-- @param countries text[] - names of countries
SELECT customer_id, first_name, last_name, country
FROM customer
WHERE country IN (:countries)
ORDER BY country, last_name, customer_id;
