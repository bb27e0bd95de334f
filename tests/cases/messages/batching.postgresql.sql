-- name: a
-- @batch
SELECT 1 AS n;

-- name: b
-- @batch no
-- @plan-mode force
SELECT 1 AS n;

-- name: c!
-- @batch off
DELETE FROM t;

-- name: d#
-- @plan-mode generic
DELETE FROM t;

-- name: e
-- @plan-mode generic
-- @plan-mode custom
SELECT 1 AS n;
