-- :result :one
-- One track with its album, artist and genre.
-- @param track_id integer - the track's key
SELECT
    t.track_id,
    t.name,
    al.title AS album,
    ar.name AS artist,
    g.name AS genre,
    t.composer,
    t.milliseconds,
    t.bytes,
    t.unit_price
FROM track t
LEFT JOIN album al ON al.album_id = t.album_id
LEFT JOIN artist ar ON ar.artist_id = al.artist_id
LEFT JOIN genre g ON g.genre_id = t.genre_id
WHERE t.track_id = :track_id;
