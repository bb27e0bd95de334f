-- name: a
INSERT INTO t VALUES (1);
-- name: b^
UPDATE t SET a = 1;
-- name: c :value
WITH x AS (SELECT 1) DELETE FROM t;
-- name: d<!
UPDATE t SET a = 1;
-- name: e<!
SELECT 1;
-- name: f*!
SELECT :a;
-- name: g :insert
DELETE FROM t;
-- name: h^
-- @limit 5
SELECT 1;
