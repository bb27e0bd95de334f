-- :result :returning
-- Put a track on an invoice, at today's price.
-- @param invoice_id integer - the invoice's key
-- @param track_id integer - the track's key
-- @param quantity integer = 1 min 1 - how many
INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
SELECT :invoice_id, track_id, unit_price, :quantity
FROM track
WHERE track_id = :track_id
RETURNING invoice_line_id, invoice_id, track_id, unit_price, quantity;
