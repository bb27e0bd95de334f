SELECT 1 WHERE a = 1
-- @if a
 AND (b = :a
-- @end
)
