-- :result :one
-- One artist, with the number of albums.
-- @param artist_id integer - the artist's key
SELECT ar.artist_id, ar.name, count(al.album_id) AS albums
FROM artist ar
LEFT JOIN album al ON al.artist_id = ar.artist_id
WHERE ar.artist_id = :artist_id
GROUP BY ar.artist_id, ar.name;
