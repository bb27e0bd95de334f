-- name: a(word)
SELECT *
FROM t WHERE name LIKE '%:word%';
-- name: b
-- @param word text
SELECT 1 AS one, ':words' AS a, ':word' AS b;
