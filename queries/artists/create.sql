-- :result :returning
-- Add an artist.
-- @param name text len 1..120 - the artist's name; each exists once
INSERT INTO artist (name)
VALUES (:name)
RETURNING artist_id, name;
