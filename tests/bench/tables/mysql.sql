CREATE TABLE item (
  id int PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100) NOT NULL, price numeric(12,2) NOT NULL, stock int,
  active boolean NOT NULL, created_at datetime NOT NULL
);
INSERT INTO item
SELECT seq, concat('item ', seq), concat('item', seq, '@example.com'), seq * 1.25, nullif(seq % 90, 0), seq % 3 = 0,
  '2026-01-01 10:00:00'
FROM seq_1_to_100000;
CREATE TABLE wide (
  id int PRIMARY KEY, small smallint, whole int, big bigint, price numeric(12,2), ratio float, exact double,
  active boolean, label text, code varchar(20), fixed char(10), day date, moment time, stamp datetime(3),
  zoned timestamp NULL, span varchar(40), uid char(36), doc json, docb json, bytes blob, numbers json, words json,
  address varchar(40)
);
INSERT INTO wide
SELECT seq, 7, 77, 7777777777, 12.50, 1.5, 2.25, 1, 'a label', 'code', 'fixed', '2026-01-31', '10:30:00',
  '2026-01-31 10:30:00.5', '2026-01-31 10:30:00', '1 day 02:00:00', '7f1f8a4e-0a8f-4a65-9a67-0d7d0b8c2f11',
  '{"a": [1, 2]}', '{"a": [1, 2]}', x'00ff10', '[1,2,3]', '["a","b"]', '10.0.0.1'
FROM seq_1_to_100000;
CREATE TABLE added (id int AUTO_INCREMENT PRIMARY KEY, name varchar(100), price double);
ANALYZE TABLE item, wide;
