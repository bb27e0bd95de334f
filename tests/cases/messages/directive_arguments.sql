-- name: a
-- @timeout fast
-- @timeout 0s
-- @limit many
-- @limit 50 max 5
-- @write yes
-- @timeout 1s
-- @timeout 2s
-- @timeout
SELECT 1;
