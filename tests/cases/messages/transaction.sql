-- name: a!
BEGIN;
-- name: b!
-- Ends it.
  COMMIT;
-- name: c#
BEGIN; SELECT 1; COMMIT;
