-- name: a :one
-- :result :many
SELECT 1;
-- name: b
-- :result
SELECT 1;
-- name: c
-- :result :onee
SELECT 1;
-- name: d
-- :one
SELECT 1;
