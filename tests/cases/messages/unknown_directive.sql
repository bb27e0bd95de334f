-- name: list_all
-- @iff x
-- @timeot 2s
-- @foo
SELECT 1;
