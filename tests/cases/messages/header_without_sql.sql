-- name: a
-- doc
-- name: b
SELECT 1;
-- name: c
