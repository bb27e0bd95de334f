-- name:
SELECT 1;
-- name: 2fast
SELECT 1;
-- name: a :execresult
SELECT 1;
-- name: b ^ the one
SELECT 1;
-- name: c.d
SELECT 1;
-- name: e(x
SELECT :x;
-- name: f of all
SELECT 1;
-- name: g :on
SELECT 1;
-- :name h one
SELECT 1;
