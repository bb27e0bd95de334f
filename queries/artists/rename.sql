-- :result :returning
-- Change an artist's name.
-- @param artist_id integer - the artist's key
-- @param name text len 1..120 - the new name
UPDATE artist
SET name = :name
WHERE artist_id = :artist_id
RETURNING artist_id, name;
