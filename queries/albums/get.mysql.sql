-- :result :one
-- One album with its artist, its number of tracks and its total time.
-- @param album_id integer - the album's key
SELECT
    al.album_id,
    al.title,
    ar.artist_id,
    ar.name AS artist,
    count(t.track_id) AS tracks,
    coalesce(sum(t.milliseconds), 0) DIV 1000 AS seconds
FROM album al
JOIN artist ar ON ar.artist_id = al.artist_id
LEFT JOIN track t ON t.album_id = al.album_id
WHERE al.album_id = :album_id
GROUP BY al.album_id, al.title, ar.artist_id, ar.name;
