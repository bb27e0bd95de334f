-- :result :returning
-- Change an artist's name.
-- @param artist_id integer - the artist's key
-- @param name text len 1..120 - the new name
INSERT INTO artist (artist_id, name) -- the row itself: MariaDB has no UPDATE … RETURNING
SELECT artist_id, :name
FROM artist
WHERE artist_id = :artist_id
ON DUPLICATE KEY UPDATE name = values(name)
RETURNING artist_id, name;
