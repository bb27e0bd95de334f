-- Artists whose name contains a text, in upper or lower case.
-- @param name text - a part of the name
SELECT artist_id, name
FROM artist
WHERE lower(name) LIKE concat('%', lower(:name), '%')
ORDER BY name, artist_id;
