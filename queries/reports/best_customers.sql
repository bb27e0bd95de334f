-- The customers of each country who spent most.
-- @param places integer = 1 min 1 max 10 - how many of each country
WITH spent AS (
    SELECT c.customer_id, c.first_name, c.last_name, c.country, round(sum(i.total), 2) AS spent
    FROM customer c
    JOIN invoice i ON i.customer_id = c.customer_id
    GROUP BY c.customer_id, c.first_name, c.last_name, c.country
),

placed AS (
    SELECT
        customer_id,
        first_name,
        last_name,
        country,
        spent,
        row_number() OVER (PARTITION BY country ORDER BY spent DESC, customer_id) AS place
    FROM spent
)

SELECT country, place, customer_id, first_name, last_name, spent
FROM placed
WHERE place <= :places
ORDER BY country IS NULL, country, place, customer_id;
