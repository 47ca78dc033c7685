#!/usr/bin/env bash
# docker-compose.yml: valid, and with one command a row of the database is in the topic; Prometheus' rules and
# Grafana's dashboard name metrics that exist.
#
# Takes the images of this project as collector.sh and flink.sh left them; a missing one is built. What else it needs is
# installed by `scripts/install-test-deps.sh containers`.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/checks.sh

echo "-- compose"
compose=(docker-compose)
if docker compose version >/dev/null 2>&1; then compose=(docker compose); fi
# A project of its own, and free ports where the file names fixed ones: both may be in use on this machine.
export COMPOSE_PROJECT_NAME=cdc-test-compose-$$
mkdir "$work/docker"
cp -r docker/. "$work/docker"
sed -i -E 's/"127\.0\.0\.1:[0-9]+:([0-9]+)"/"127.0.0.1::\1"/; s|context: \.\.|context: '"$PWD"'|' "$work/docker/docker-compose.yml"
chmod -R a+rX "$work"
up() { (cd "$work/docker" && "${compose[@]}" "$@"); }
trap 'up down --volumes --timeout 10 >/dev/null 2>&1 || true; cleanup' EXIT

valid() { "$@" --file docker/docker-compose.yml config --quiet && "$@" --file docker/docker-compose.yml --profile monitoring config --quiet; }
check "the file is valid, with the monitoring profile too" valid "${compose[@]}"
deps=$(realpath "${DEPS_DIR:-target/deps}")
for other in docker-compose "$deps/compose-v2"; do
  check "$("$other" version | sed -n 1p) takes it" valid "$other"
done
check "every published port is on the loopback interface" equal "" \
  "$(grep -E '^ +ports:' docker/docker-compose.yml | grep -v '127.0.0.1' || true)"

container() { up ps --quiet "$1"; }
health() { health_is "$(container "$1")" healthy; }
port() { docker port "$(container "$1")" "$2/tcp" | sed -n 1p; }
sql() { docker exec "$(container mysql)" sh -c "mysql -h127.0.0.1 -uroot -p\"\$(cat /run/secrets/mysql_root_password)\" shop -e \"$1\""; }
arrived() { contains "$(curl -fsS "http://$(port datahub 7070)/_emulator/topics/realtime_pipeline/cdc_events/records?limit=1000")" "$1"; }
slots() { equal 4 "$(curl -fsS "http://$(port jobmanager 8081)/overview" | jq '."slots-total"')"; }

start=$SECONDS
check "up starts everything" up up --detach
for service in mysql datahub cdc-collector jobmanager taskmanager; do
  check "$service is healthy" eventually 90 health "$service"
done
printf '          everything healthy after %d s\n' $((SECONDS - start))
check "the collector is ready" eventually 30 curl -fsS "http://$(port cdc-collector 8080)/health/ready"
check "a row is inserted" sql "INSERT INTO items (name, price) VALUES ('a row through it all', 12.50)"
check "and arrives in the topic" eventually 20 arrived 'a row through it all'
check "the TaskManager has registered its slots" eventually 60 slots
check "no secret in what the engine knows of the containers" lacks \
  "$(for s in mysql datahub cdc-collector; do docker inspect "$(container "$s")"; done)" demo-relay-password demo-access-key demo-root-password
check "the collector's account may read and nothing more" lacks \
  "$(docker exec "$(container mysql)" sh -c "mysql -h127.0.0.1 -ucdc -p\"\$(cat /run/secrets/database_password)\" -e 'SHOW GRANTS'")" 'ALL PRIVILEGES' INSERT SUPER
check "the collector stops" up stop --timeout 30 cdc-collector
check "with exit code 0" equal 0 "$(inspect "$(up ps --all --quiet cdc-collector 2>/dev/null || up ps --quiet cdc-collector)" '{{.State.ExitCode}}')"
sql "INSERT INTO items (name, price) VALUES ('while it was stopped', 1)"
check "and starts" up start cdc-collector
check "a row from meanwhile arrives: the checkpoint was kept" eventually 60 arrived 'while it was stopped'
check "down removes it all" up down --volumes --timeout 30

echo "-- monitoring"
names() { grep -ohE '"cdc_[a-z_]+"' src/telemetry/metric.rs src/telemetry.rs | tr -d '"' | sort -u; }
used() { grep -ohE '\bcdc_[a-z_]+' "$1" | sed -E 's/_(bucket|sum|count)$//' | sort -u; }
for file in docker/grafana/dashboards/cdc-collector.json docker/prometheus/alerts.yml; do
  check "$file names metrics that exist" equal "" "$(comm -23 <(used "$file") <(names))"
done
check "the dashboard is JSON" jq -e '.panels | length > 0' docker/grafana/dashboards/cdc-collector.json
check "promtool accepts prometheus.yml and its rules" "$deps/promtool" check config docker/prometheus/prometheus.yml
skip "Prometheus and Grafana running" "their images come from a registry only"
summary
