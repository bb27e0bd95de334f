-- Tracks by a part of their name, narrowed by genre, length and price.
-- @param name text - a part of the name, in upper or lower case
-- @param genre text = '%' - name of the genre; % stands for any text
-- @param min_seconds integer = 0 min 0 - shortest length
-- @param max_price numeric = 1000 - highest price
-- @limit 20 max 200
SELECT t.track_id, t.name, g.name AS genre, t.milliseconds DIV 1000 AS seconds, t.unit_price
FROM track t
JOIN genre g ON g.genre_id = t.genre_id
WHERE lower(t.name) LIKE concat('%', lower(:name), '%')
  AND g.name LIKE :genre
  AND t.milliseconds >= :min_seconds * 1000
  AND t.unit_price <= :max_price
ORDER BY t.name, t.track_id;
