-- name: a
-- @param :x int
-- @param y: int
-- @param z int default 5
-- @param v text not null
-- @param w text null
-- @param s enum('a', 'b')
SELECT :x, :y, :z, :v, :w, :s;
