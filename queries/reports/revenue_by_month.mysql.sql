-- Revenue of each month of a year, with the running total.
-- @param year integer min 1 max 9999 - the year
SELECT
    date_format(invoice_date, '%Y-%m') AS month,
    count(*) AS invoices,
    sum(total) AS revenue,
    sum(sum(total)) OVER (ORDER BY date_format(invoice_date, '%Y-%m')) AS running_total
FROM invoice
WHERE year(invoice_date) = :year
GROUP BY month
ORDER BY month;
