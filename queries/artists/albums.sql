-- Albums of one artist.
-- @param artist_id integer - the artist's key
SELECT album_id, title
FROM album
WHERE artist_id = :artist_id
ORDER BY title, album_id;
