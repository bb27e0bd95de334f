-- Customers who have bought nothing since a day, with the day of their last purchase.
-- @param since timestamp - the day
SELECT c.customer_id, c.first_name, c.last_name, c.email, date(max(i.invoice_date)) AS last_purchase
FROM customer c
LEFT JOIN invoice i ON i.customer_id = c.customer_id
WHERE NOT EXISTS (
    SELECT 1
    FROM invoice later
    WHERE later.customer_id = c.customer_id
      AND later.invoice_date >= :since
)
GROUP BY c.customer_id, c.first_name, c.last_name, c.email
ORDER BY last_purchase, c.customer_id;
