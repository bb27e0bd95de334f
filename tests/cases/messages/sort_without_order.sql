-- @sort newest
SELECT * FROM t
