-- What happens to the source table while it is recorded: many changes of few rows, and values that break careless code.
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE orders (
  id         BIGINT PRIMARY KEY,
  customer   VARCHAR(64),
  status     VARCHAR(16) NOT NULL,
  quantity   INT,
  amount     DECIMAL(12, 2) NOT NULL,
  note       TEXT,
  placed_at  DATETIME(3) NOT NULL,
  updated_at TIMESTAMP(6) NOT NULL
);
SET time_zone = '+00:00';
INSERT INTO orders
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
SELECT i, CONCAT('customer-', i % 17), 'new', i % 9, i * 1.37, NULL,
       TIMESTAMPADD(MICROSECOND, i * 61001000, '2026-03-29 01:30:00.000'), TIMESTAMPADD(MICROSECOND, i, '2026-11-22 20:15:00.123456')
FROM n;
UPDATE orders SET status = 'paid', amount = amount + 0.01, updated_at = '2026-11-22 21:00:00.000001' WHERE id % 2 = 0;
UPDATE orders SET status = 'cancelled', note = 'said "no",\nthen hung up \\ \t' WHERE id % 7 = 0;
UPDATE orders SET customer = NULL, quantity = NULL WHERE id % 31 = 0;
UPDATE orders SET customer = '客户-Ä-😀', amount = -9999999999.99 WHERE id % 41 = 0;
DELETE FROM orders WHERE id % 5 = 0;
UPDATE orders SET id = id + 10000 WHERE id % 11 = 0;
INSERT INTO orders VALUES (5, 'customer-5', 'new', -2147483648, 0.00, '', '1000-01-01 00:00:00.000', '2038-01-19 03:14:07.999999');
UPDATE orders SET customer = CONCAT('customer-', id % 3) WHERE id BETWEEN 100 AND 200;
UPDATE orders SET amount = amount * 2 WHERE status = 'paid' AND amount > 0 AND id < 300;
DELETE FROM orders WHERE id = 9223372036854775807;
INSERT INTO orders VALUES (9223372036854775807, 'last', 'new', 2147483647, 9999999999.99, 'end', '9999-12-31 23:59:59.999', '1970-01-01 00:00:01.000000');
