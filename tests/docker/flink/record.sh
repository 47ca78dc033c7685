#!/usr/bin/env bash
# Records what the pipeline delivers for workload.sql: MySQL, the DataHub emulator and the collector run as containers.
#
#   tests/docker/flink/record.sh DIRECTORY
#
# Afterwards DIRECTORY holds topic/orders/shard-N.json (one record a line, in the shard's order), and what the source
# said at the end: orders.json (its rows) and revenue.json (the job's aggregation, computed by MySQL).
# The images must be there: realtime-pipeline/cdc-collector:1.0.0, realtime-pipeline/datahub-emulator:1.0.0, mysql:8.4.
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd)
target=${1:?usage: record.sh DIRECTORY}
mkdir -p "$target/topic/orders"
name=flink-record-$$

trap 'docker rm -f -v "$name-mysql" "$name-datahub" "$name-collector" >/dev/null 2>&1; docker network rm "$name" >/dev/null 2>&1' EXIT
fail() { echo "record.sh: $*" >&2; docker logs --tail 20 "$name-collector" >&2 || true; exit 1; }
mysql() { docker exec -i "$name-mysql" mysql -uroot -psecret --default-character-set=utf8mb4 "$@" 2>/dev/null; }
# within SECONDS WHAT COMMAND…
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "$what took too long"
    sleep 0.5
  done
}

docker network create "$name" >/dev/null
docker run -d --name "$name-mysql" --network "$name" --network-alias mysql -e MYSQL_ROOT_PASSWORD=secret mysql:8.4 >/dev/null
docker run -d --name "$name-datahub" --network "$name" --network-alias datahub -p 127.0.0.1::7070 \
  realtime-pipeline/datahub-emulator:1.0.0 --create --project realtime-pipeline --topic cdc-events --shards 3 \
  --access-id id --access-key key >/dev/null
datahub=http://$(docker port "$name-datahub" 7070/tcp | sed -n 1p)
within 90 "starting MySQL" mysql -h 127.0.0.1 -e 'SELECT 1'
# The collector follows from the start of the binlog: first the changes, then the collector.
mysql <"$here/workload.sql"
docker run -d --name "$name-collector" --network "$name" -e DATABASE_HOST=mysql -e DATABASE_PORT=3306 \
  -e DATABASE_PASSWORD=secret -e DATABASE_SCHEMA=shop -e DATABASE_TABLES=orders -e START_POSITION=earliest \
  -e DATAHUB_ENDPOINT=http://datahub:7070 -e DATAHUB_ACCESS_ID=id -e DATAHUB_ACCESS_KEY=key \
  realtime-pipeline/cdc-collector:1.0.0 >/dev/null
# The last change has arrived in one shard; the others are complete when the collector has drained.
records() { curl -fsS "$datahub/_emulator/topics/realtime-pipeline/cdc-events/records?shard=$1&limit=100000"; }
complete() { for shard in 0 1 2; do records "$shard"; done | grep 9223372036854775807 >/dev/null; }
within 30 "delivery" complete
docker stop "$name-collector" >/dev/null

for shard in 0 1 2; do
  records "$shard" | python3 -c '
import json, sys
for record in json.load(sys.stdin)["records"]:
    print(record["text"])' >"$target/topic/orders/shard-$shard.json"
done
mysql -N --raw shop -e "SET time_zone = '+00:00'; SELECT JSON_OBJECT('id', id, 'customer', customer, 'status', status,
  'quantity', quantity, 'amount', CAST(amount AS CHAR), 'note', note, 'placed_at', CAST(placed_at AS CHAR),
  'updated_at', CAST(updated_at AS CHAR)) FROM orders ORDER BY id" >"$target/orders.json"
mysql -N --raw shop -e "SELECT JSON_OBJECT('customer', customer, 'orders', COUNT(*), 'amount', CAST(SUM(amount) AS CHAR))
  FROM orders WHERE status <> 'cancelled' GROUP BY customer ORDER BY customer" >"$target/revenue.json"
echo "recorded $(cat "$target"/topic/orders/*.json | wc -l) changes of $(wc -l <"$target/orders.json") rows"
