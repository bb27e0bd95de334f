-- Revenue of each month of a year, with the running total.
-- @param year integer min 1 max 9999 - the year
SELECT
    strftime('%Y-%m', invoice_date) AS month,
    count(*) AS invoices,
    round(sum(total), 2) AS revenue,
    round(sum(sum(total)) OVER (ORDER BY strftime('%Y-%m', invoice_date)), 2) AS running_total
FROM invoice
WHERE cast(strftime('%Y', invoice_date) AS integer) = :year
GROUP BY month
ORDER BY month;
