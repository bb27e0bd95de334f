-- Revenue of each country, some left out.
-- @param skip text[] - names of countries to leave out
SELECT
    billing_country AS country,
    count(*) AS invoices,
    round(sum(total), 2) AS revenue,
    round(avg(total), 2) AS average
FROM invoice
WHERE billing_country NOT IN (:skip)
GROUP BY billing_country
ORDER BY revenue DESC, billing_country;
