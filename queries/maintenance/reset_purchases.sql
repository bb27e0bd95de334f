-- :result :script
-- Delete the purchases and customers that were added to the demo.
DELETE FROM invoice_line
WHERE invoice_line_id > 2240;

DELETE FROM invoice
WHERE invoice_id > 412;

DELETE FROM customer
WHERE customer_id > 59;
