-- What `sqlwright init` makes, and the queries over it. Names are the same in the file of every dialect.

-- name: init#
CREATE SCHEMA IF NOT EXISTS sqlwright;
CREATE TABLE IF NOT EXISTS sqlwright.migrations (
    number bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    steps_done integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz
);
COMMENT ON TABLE sqlwright.migrations IS 'What `sqlwright migrate` has run here; applied_at is null for a file that was not finished.';

-- name: is_initialised :value
SELECT to_regclass('sqlwright.migrations') IS NOT NULL;

-- name: lock :value
-- Held by the session; whoever waits asks again.
-- @write
SELECT pg_try_advisory_lock(hashtextextended('sqlwright migrate', 0));

-- name: unlock :value
-- @write
SELECT pg_advisory_unlock(hashtextextended('sqlwright migrate', 0));

-- name: history
SELECT number, name, checksum, steps_done, started_at, applied_at
FROM sqlwright.migrations
ORDER BY number;

-- name: record_applied!
INSERT INTO sqlwright.migrations (number, name, checksum, steps_done, applied_at)
VALUES (:number, :name, :checksum, :steps_done, clock_timestamp());

-- name: record_started!
INSERT INTO sqlwright.migrations (number, name, checksum)
VALUES (:number, :name, :checksum);

-- name: record_step!
UPDATE sqlwright.migrations SET steps_done = :steps_done WHERE number = :number;

-- name: record_finished!
UPDATE sqlwright.migrations SET applied_at = clock_timestamp() WHERE number = :number;

-- name: forget!
DELETE FROM sqlwright.migrations WHERE number = :number;
