-- name: a
-- record_class: Artist
SELECT 1;
