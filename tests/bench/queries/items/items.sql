-- name: by_key^
-- @param id int
SELECT id, name, email, price, stock, active, created_at FROM item WHERE id = :id;

-- name: page
-- @param first int
-- @param rows int = 100
-- @limit 1000 max 1000
SELECT id, name, email, price, stock, active, created_at FROM item WHERE id >= :first ORDER BY id LIMIT :rows;

-- name: minimal$
SELECT 1 AS one;

-- name: wide
-- @param first int
-- @param rows int = 1
-- @limit 1000 max 1000
SELECT * FROM wide WHERE id >= :first ORDER BY id LIMIT :rows;

-- name: twenty$
-- @param a int
-- @param b int
-- @param c int
-- @param d int
-- @param e int
-- @param f int
-- @param g int
-- @param h int
-- @param i int
-- @param j int
-- @param k int
-- @param l int
-- @param m int
-- @param n int
-- @param o int
-- @param p int
-- @param q int
-- @param r int
-- @param s int
-- @param t int
SELECT :a + :b + :c + :d + :e + :f + :g + :h + :i + :j + :k + :l + :m + :n + :o + :p + :q + :r + :s + :t AS total;

-- name: add*!
-- @param name text
-- @param price float
INSERT INTO added (name, price) VALUES (:name, :price);

-- name: large$
-- @param body text
SELECT length(:body) AS characters;

-- name: export
-- @timeout 60s
SELECT i.id * 10 + d.digit AS id, i.name, i.email, i.price, i.stock, i.active, i.created_at
FROM item i CROSS JOIN (
  SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
  UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) d;
