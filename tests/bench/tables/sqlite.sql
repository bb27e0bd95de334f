CREATE TABLE item (
  id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL, price numeric(12,2) NOT NULL, stock int,
  active boolean NOT NULL, created_at timestamp NOT NULL
);
INSERT INTO item
WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000)
SELECT n, 'item ' || n, 'item' || n || '@example.com', n * 1.25, nullif(n % 90, 0), n % 3 = 0, '2026-01-01 10:00:00'
FROM s;
CREATE TABLE wide (
  id integer PRIMARY KEY, small smallint, whole int, big bigint, price numeric(12,2), ratio real, exact double,
  active boolean, label text, code varchar(20), fixed char(10), day date, moment time, stamp timestamp,
  zoned timestamp, span text, uid text, doc json, docb json, bytes blob, numbers json, words json, address text
);
INSERT INTO wide
WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000)
SELECT n, 7, 77, 7777777777, 12.50, 1.5, 2.25, 1, 'a label', 'code', 'fixed', '2026-01-31', '10:30:00',
  '2026-01-31 10:30:00.5', '2026-01-31 10:30:00', '1 day 02:00:00', '7f1f8a4e-0a8f-4a65-9a67-0d7d0b8c2f11',
  '{"a": [1, 2]}', '{"a": [1, 2]}', x'00ff10', '[1,2,3]', '["a","b"]', '10.0.0.1'
FROM s;
CREATE TABLE added (id integer PRIMARY KEY, name text, price double precision);
ANALYZE;
