-- What `sqlwright init` makes, and the queries over it. Names are the same in the file of every dialect.

-- name: init#
CREATE TABLE IF NOT EXISTS sqlwright_migrations (
    number bigint NOT NULL PRIMARY KEY,
    name varchar(255) NOT NULL,
    checksum char(64) NOT NULL,
    steps_done int NOT NULL DEFAULT 0,
    started_at datetime(3) NOT NULL,
    applied_at datetime(3)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- name: is_initialised :value
SELECT count(*) AS found
FROM information_schema.tables
WHERE table_schema = database() AND table_name = 'sqlwright_migrations';

-- name: lock :value
-- Held by the session, and known to the whole server: so its name tells the database. Whoever waits asks again.
-- @write
SELECT get_lock(concat('sqlwright migrate ', md5(database())), 0) AS held;

-- name: unlock :value
-- @write
SELECT release_lock(concat('sqlwright migrate ', md5(database()))) AS free;

-- name: history
SELECT number, name, checksum, steps_done, started_at, applied_at
FROM sqlwright_migrations
ORDER BY number;

-- name: record_applied!
INSERT INTO sqlwright_migrations (number, name, checksum, steps_done, started_at, applied_at)
VALUES (:number, :name, :checksum, :steps_done, utc_timestamp(3), utc_timestamp(3));

-- name: record_started!
INSERT INTO sqlwright_migrations (number, name, checksum, started_at)
VALUES (:number, :name, :checksum, utc_timestamp(3));

-- name: record_step!
UPDATE sqlwright_migrations SET steps_done = :steps_done WHERE number = :number;

-- name: record_finished!
UPDATE sqlwright_migrations SET applied_at = utc_timestamp(3) WHERE number = :number;

-- name: forget!
DELETE FROM sqlwright_migrations WHERE number = :number;
