-- @param since date optional = 2009-01-01
-- @param until date = 2009-01-01 optional
SELECT * FROM t WHERE a > :since AND a < :until
