-- Who reports to whom: every employee below their manager, with the way up.
WITH RECURSIVE staff (employee_id, name, title, level, path) AS (
    SELECT employee_id, cast(concat(first_name, ' ', last_name) AS char(80)), title, 0, cast(last_name AS char(500))
    FROM employee
    WHERE reports_to IS NULL
    UNION ALL
    SELECT e.employee_id, concat(e.first_name, ' ', e.last_name), e.title, s.level + 1, concat(s.path, ' / ', e.last_name)
    FROM employee e
    JOIN staff s ON s.employee_id = e.reports_to
)

SELECT employee_id, name, title, level, path
FROM staff
ORDER BY path, employee_id;
