-- name: a
-- @sort newest
-- @page
-- @get /a/{x}
-- @put /a/{x}
-- @internal
-- @flag f
SELECT * FROM t ORDER BY 1;
