-- @param country text optional in (USA, Canada) - billing country
SELECT * FROM t WHERE c = :country
