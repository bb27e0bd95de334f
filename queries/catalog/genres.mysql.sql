-- name: save_genre(name)<!
-- Add a genre, or find the one that has this name already.
-- @param name text len 1..120 - name of the genre
INSERT INTO genre (name)
VALUES (:name)
ON DUPLICATE KEY UPDATE name = values(name)
RETURNING genre_id, name;
