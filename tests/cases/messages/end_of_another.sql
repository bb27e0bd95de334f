SELECT 1 WHERE true
-- @if country
 AND a = :country
-- @end genre
