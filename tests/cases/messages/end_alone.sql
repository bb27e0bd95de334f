SELECT 1
-- @if a
 WHERE a = :a
-- @end
-- @end
