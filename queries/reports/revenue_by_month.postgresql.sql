-- Revenue of each month of a year, with the running total.
-- @param year integer min 1 max 9999 - the year
SELECT
    to_char(date_trunc('month', invoice_date), 'YYYY-MM') AS month,
    count(*) AS invoices,
    sum(total) AS revenue,
    sum(sum(total)) OVER (ORDER BY date_trunc('month', invoice_date)) AS running_total
FROM invoice
WHERE invoice_date >= make_date(:year, 1, 1)
  AND invoice_date < make_date(:year + 1, 1, 1)
GROUP BY date_trunc('month', invoice_date)
ORDER BY month;
