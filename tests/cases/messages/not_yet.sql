-- name: a
-- @sort newest
-- @page
-- @get /a/{x}
-- @plan-mode force
-- @internal
-- @flag f
SELECT * FROM t ORDER BY 1;
