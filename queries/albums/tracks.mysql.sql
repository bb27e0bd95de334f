-- Tracks of one album, in their order.
-- @param album_id integer - the album's key
SELECT track_id, name, composer, milliseconds DIV 1000 AS seconds, unit_price
FROM track
WHERE album_id = :album_id
ORDER BY track_id;
