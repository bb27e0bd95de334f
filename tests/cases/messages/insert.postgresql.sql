-- name: a :insert
INSERT INTO t VALUES (:a);
