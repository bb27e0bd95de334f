-- name: a
SELECT 1;

DELETE FROM t;
