-- name: genres
-- Genres with their number of tracks.
SELECT g.genre_id, g.name, count(t.track_id) AS tracks
FROM genre g
LEFT JOIN track t ON t.genre_id = g.genre_id
GROUP BY g.genre_id, g.name
ORDER BY g.name, g.genre_id;

-- name: save_genre(name)<!
-- Add a genre, or find the one that has this name already.
-- @param name text len 1..120 - name of the genre
INSERT INTO genre (name)
VALUES (:name)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING genre_id, name;

-- name: track_count(genre)$
-- Number of tracks of a genre.
-- @param genre text - name of the genre
SELECT count(*)
FROM track t
JOIN genre g ON g.genre_id = t.genre_id
WHERE g.name = :genre;
