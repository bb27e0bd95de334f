CREATE TABLE item (
  id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, price numeric(12,2) NOT NULL, stock int,
  active boolean NOT NULL, created_at timestamptz NOT NULL
);
INSERT INTO item
SELECT n, 'item ' || n, 'item' || n || '@example.com', n * 1.25, nullif(n % 90, 0), n % 3 = 0, '2026-01-01 10:00:00+00'
FROM generate_series(1, 100000) AS s(n);
CREATE TABLE wide (
  id int PRIMARY KEY, small smallint, whole int, big bigint, price numeric(12,2), ratio real, exact double precision,
  active boolean, label text, code varchar(20), fixed char(10), day date, moment time, stamp timestamp,
  zoned timestamptz, span interval, uid uuid, doc json, docb jsonb, bytes bytea, numbers int[], words text[],
  address inet
);
INSERT INTO wide
SELECT n, 7, 77, 7777777777, 12.50, 1.5, 2.25, true, 'a label', 'code', 'fixed', '2026-01-31', '10:30',
  '2026-01-31 10:30:00.5', '2026-01-31 10:30:00+00', '1 day 2 hours', '7f1f8a4e-0a8f-4a65-9a67-0d7d0b8c2f11',
  '{"a": [1, 2]}', '{"a": [1, 2]}', '\x00ff10', '{1,2,3}', '{a,b}', '10.0.0.1'
FROM generate_series(1, 100000) AS s(n);
CREATE TABLE added (id serial PRIMARY KEY, name text, price double precision);
ANALYZE;
