-- @timeout 2s
-- name: a
-- doc
SELECT *
-- @param x int
FROM t -- @limit 5
-- :result :one
WHERE x = :x;
-- @write
