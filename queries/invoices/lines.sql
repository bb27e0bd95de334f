-- Lines of one invoice.
-- @param invoice_id integer - the invoice's key
SELECT l.invoice_line_id, l.track_id, t.name AS track, l.unit_price, l.quantity
FROM invoice_line l
JOIN track t ON t.track_id = l.track_id
WHERE l.invoice_id = :invoice_id
ORDER BY l.invoice_line_id;
