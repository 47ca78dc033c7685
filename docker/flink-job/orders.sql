-- Mirrors a captured table and keeps a sum per customer, both as changelogs in files.
--
-- Source: records of the topic, one JSON object a line, one file a shard (see docs/FLINK.md for the Kafka form, which
-- differs in the WITH clause only). Each change counts as often as it comes: after a crash of the collector some come
-- twice. Where that matters use orders-exact.sql.

SET 'pipeline.name' = 'orders';
-- Files become visible with the checkpoint that covers them.
SET 'execution.checkpointing.interval' = '2 s';
SET 'table.local-time-zone' = 'UTC';

CREATE TABLE orders (
  id         BIGINT,
  customer   STRING,
  status     STRING,
  quantity   INT,
  amount     DECIMAL(12, 2),
  note       STRING,
  placed_at  TIMESTAMP(3),
  updated_at TIMESTAMP_LTZ(6)
) WITH (
  'connector' = 'filesystem',
  'path' = 'file:///opt/flink/data/topic/orders',
  'format' = 'debezium-json',
  'debezium-json.schema-include' = 'false',
  -- DATETIME is written as "2026-11-22 20:15:00.123", TIMESTAMP as the same with Z.
  'debezium-json.timestamp-format.standard' = 'SQL'
);

CREATE TABLE orders_mirror (
  id         BIGINT,
  customer   STRING,
  status     STRING,
  quantity   INT,
  amount     DECIMAL(12, 2),
  note       STRING,
  placed_at  TIMESTAMP(3),
  updated_at TIMESTAMP_LTZ(6)
) WITH (
  'connector' = 'filesystem',
  'path' = 'file:///opt/flink/data/out/orders',
  'format' = 'debezium-json',
  'debezium-json.timestamp-format.standard' = 'SQL',
  'debezium-json.encode.decimal-as-plain-number' = 'true'
);

CREATE TABLE revenue (
  customer STRING,
  orders   BIGINT,
  amount   DECIMAL(38, 2)
) WITH (
  'connector' = 'filesystem',
  'path' = 'file:///opt/flink/data/out/revenue',
  'format' = 'debezium-json',
  'debezium-json.encode.decimal-as-plain-number' = 'true'
);

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO orders_mirror SELECT * FROM orders;
  INSERT INTO revenue SELECT customer, COUNT(*), SUM(amount) FROM orders WHERE status <> 'cancelled' GROUP BY customer;
END;
