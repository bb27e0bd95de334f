-- @param artist_it int
-- @param name text
-- @param name text
SELECT * FROM t WHERE a = :artist_id AND b = :name
