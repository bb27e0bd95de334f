-- name: a(:x)
SELECT :x AS x;
-- name: b(x: int)
SELECT :x AS x;
-- name: c(x, y=5)
SELECT :x AS x, :y AS y;
