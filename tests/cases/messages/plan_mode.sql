-- name: a
-- @plan-mode generic
SELECT 1 AS n;
