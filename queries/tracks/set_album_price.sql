-- :result :exec
-- Give every track of an album one price.
-- @param album_id integer - the album's key
-- @param unit_price numeric min 0 - the price
UPDATE track
SET unit_price = :unit_price
WHERE album_id = :album_id;
