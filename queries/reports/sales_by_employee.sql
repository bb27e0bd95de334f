-- What the customers of each sales agent spent.
SELECT
    e.employee_id,
    e.first_name,
    e.last_name,
    count(DISTINCT c.customer_id) AS customers,
    count(i.invoice_id) AS invoices,
    round(coalesce(sum(i.total), 0), 2) AS revenue
FROM employee e
JOIN customer c ON c.support_rep_id = e.employee_id
LEFT JOIN invoice i ON i.customer_id = c.customer_id
GROUP BY e.employee_id, e.first_name, e.last_name
ORDER BY revenue DESC, e.employee_id;
