-- name: list_invoices(customer_id, contry)
SELECT * FROM invoice WHERE a = :customer_id AND b = :country;
