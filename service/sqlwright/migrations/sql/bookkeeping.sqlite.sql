-- What `sqlwright init` makes, and the queries over it. Names are the same in the file of every dialect.

-- name: init#
CREATE TABLE IF NOT EXISTS sqlwright_migrations (
    number bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    steps_done integer NOT NULL DEFAULT 0,
    started_at timestamp NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    applied_at timestamp
);

-- name: is_initialised :value
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'sqlwright_migrations';

-- name: lock :value
-- There is one writer at a time: the transaction of a migration is the lock.
SELECT 1 AS held;

-- name: unlock :value
SELECT 1 AS free;

-- name: history
SELECT number, name, checksum, steps_done, started_at, applied_at
FROM sqlwright_migrations
ORDER BY number;

-- name: record_applied!
INSERT INTO sqlwright_migrations (number, name, checksum, steps_done, applied_at)
VALUES (:number, :name, :checksum, :steps_done, strftime('%Y-%m-%d %H:%M:%f', 'now'));

-- name: record_started!
INSERT INTO sqlwright_migrations (number, name, checksum)
VALUES (:number, :name, :checksum);

-- name: record_step!
UPDATE sqlwright_migrations SET steps_done = :steps_done WHERE number = :number;

-- name: record_finished!
UPDATE sqlwright_migrations SET applied_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE number = :number;

-- name: forget!
DELETE FROM sqlwright_migrations WHERE number = :number;
