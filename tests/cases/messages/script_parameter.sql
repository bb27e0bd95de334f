-- name: setup#
CREATE TABLE t (a);
INSERT INTO t VALUES (:a);
