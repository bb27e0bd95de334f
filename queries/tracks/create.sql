-- :result :returning
-- Add a track to an album.
-- @param album_id integer - the album's key
-- @param name text len 1..200 - the track's name
-- @param composer text? = null - who wrote it
-- @param milliseconds integer min 1 - its length
-- @param unit_price numeric = 0.99 min 0 - its price
-- @param genre_id integer = 1 - its genre
-- @param media_type_id integer = 1 - its kind of file
INSERT INTO track (album_id, name, composer, milliseconds, unit_price, genre_id, media_type_id)
VALUES (:album_id, :name, :composer, :milliseconds, :unit_price, :genre_id, :media_type_id)
RETURNING track_id, album_id, name, composer, milliseconds, unit_price;
