-- The albums that play longest.
-- @param top integer = 10 min 1 max 100 - how many
SELECT al.album_id, al.title, ar.name AS artist, sum(t.milliseconds) DIV 1000 AS seconds
FROM album al
JOIN artist ar ON ar.artist_id = al.artist_id
JOIN track t ON t.album_id = al.album_id
GROUP BY al.album_id, al.title, ar.name
ORDER BY seconds DESC, al.album_id
LIMIT :top;
