-- name: a
SELECT 'it;
-- name: b
SELECT 'x', 2;
-- name: c
SELECT 3;
