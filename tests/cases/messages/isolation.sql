-- name: wrong!
-- @isolation snapshot
DELETE FROM t;

-- name: nothing
-- @isolation
SELECT 1;

-- name: twice
-- @isolation serializable
-- @isolation read_committed
SELECT 1;

-- name: script#
-- @isolation serializable
DELETE FROM t;
DELETE FROM u;

-- name: blanks_and_bulk*!
-- @isolation REPEATABLE READ
DELETE FROM t WHERE a = :a;
