-- name: a(x, y, z, artist_it)
SELECT :x, :y, :z, :artist_id;
