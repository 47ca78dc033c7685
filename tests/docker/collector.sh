#!/usr/bin/env bash
# The collector's image, built from its Dockerfile and run beside a real MySQL and the emulator.
#
# The base images must be there: pulled, or made by the base-*.sh scripts (run.sh does that).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/checks.sh

image=realtime-pipeline/cdc-collector:1.0.0
emulator=realtime-pipeline/datahub-emulator:1.0.0
# Like nothing else, so that a search for one of them means something.
password=Db-Passw0rd-4f1c7e access_id=Access-Id-93b1d0 access_key=Access-Key-c0ffee-4711
revision=${REVISION:-unknown}

echo "-- images"
check "the collector's image builds" build docker/cdc-collector/Dockerfile "$image" --build-arg "REVISION=$revision"
check "the emulator's image builds" build docker/emulator/Dockerfile "$emulator"
docker image inspect "$image" "$emulator" >/dev/null || { summary; exit 1; }

# run NAME [DOCKER-OPTION…] -- [ARGUMENT…]: a collector in the background, with a complete configuration that the
# options can add to or replace.
defaults=(
  --env DATABASE_HOST=database --env DATABASE_PORT=3306 --env DATABASE_USERNAME=cdc --env "DATABASE_PASSWORD=$password"
  --env DATABASE_SCHEMA=shop --env DATAHUB_ENDPOINT=http://datahub:7070 --env "DATAHUB_ACCESS_ID=$access_id"
  --env "DATAHUB_ACCESS_KEY=$access_key" --env DATAHUB_PROJECT=realtime_pipeline --env DATAHUB_TOPIC=cdc_events
)
run() { docker_run "$1" "${defaults[@]}" "${@:2}"; }
docker_run() {
  local name=cdc-test-$1-$$ options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  docker rm --force --volumes "$name" >/dev/null 2>&1 || true
  docker run --detach --name "$name" --label "$label" --network "$network" "${options[@]}" "$image" "$@" >/dev/null
}
container() { echo "cdc-test-$1-$$"; }
# once [DOCKER-OPTION…] -- [ARGUMENT…]: a collector in the foreground; output and errors on standard output.
once() {
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  docker run --rm --label "$label" --network "$network" "${options[@]}" "$image" "$@" 2>&1
}
get() { curl -fsS --max-time 5 "http://$(address "$(container "$1")"):${3:-8080}$2"; }
ready() { eventually "${2:-60}" get "$1" /health/ready || { docker logs --tail 20 "$(container "$1")"; return 1; }; }
health() { get "$1" /health | jq -r "$2"; }
metric() { get "$1" /metrics | awk -v name="$2" '$1 == name || index($1, name "{") == 1 { sum += $2; found = 1 } END { if (!found) exit 1; print sum }'; }
at_least() { local seen; seen=$(metric "$1" "$2") && awk -v a="$seen" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
logs() { docker logs "$(container "$1")" 2>&1; }
sql() { docker exec "$database" mysql -h127.0.0.1 -uroot "-p$password" --batch --skip-column-names -e "$1"; }
service() { curl -fsS --max-time 5 "http://$(address "$datahub"):7070$1" "${@:2}"; }
records() { service "/_emulator/topics/realtime_pipeline/${1:-cdc_events}/records?limit=10000"; }
contains_health() { contains "$(get "$1" /health)" "$2"; } # NAME TEXT
delivered_by() { records | jq -e --arg group "$1" --arg text "$2" 'tostring | contains($group) and contains($text)' >/dev/null; }
delivered() { contains "$(records "${2:-cdc_events}")" "$1"; } # TEXT [TOPIC]

echo "-- what the image is"
check "user cdcuser, not root" equal cdcuser "$(inspect "$image" '{{.Config.User}}')"
check "user id 10001 and home /opt/cdc-collector" equal "10001 /opt/cdc-collector" \
  "$(docker run --rm --entrypoint sh "$image" -c 'echo "$(id -u) $(getent passwd cdcuser | cut -d: -f6)"')"
check "port 8080, and no other" equal '{"8080/tcp":{}}' "$(inspect "$image" '{{json .Config.ExposedPorts}}')"
check "volumes data and logs" equal '{"/opt/cdc-collector/data":{},"/opt/cdc-collector/logs":{}}' \
  "$(inspect "$image" '{{json .Config.Volumes}}')"
check "health check every 30 s, timeout 10 s, start period 60 s, 3 retries" equal '30s 10s 1m0s 3' \
  "$(inspect "$image" '{{with .Config.Healthcheck}}{{.Interval}} {{.Timeout}} {{.StartPeriod}} {{.Retries}}{{end}}')"
check "health check asks http://localhost:8080/health/live" contains \
  "$(inspect "$image" '{{.Config.Healthcheck.Test}}')" 'curl -f http://localhost:8080/health/live'
check "tini is process 1" equal '[tini -- /opt/cdc-collector/entrypoint.sh]' "$(inspect "$image" '{{.Config.Entrypoint}}')"
check "labels name version, commit and licence" equal "1.0.0 $revision Apache-2.0" \
  "$(inspect "$image" '{{with .Config.Labels}}{{index . "org.opencontainers.image.version"}} {{index . "org.opencontainers.image.revision"}} {{index . "org.opencontainers.image.licenses"}}{{end}}')"
check "the binary knows its version and commit" contains "$(once -- --version)" 1.0.0 "$revision"
check "no compiler and no source in it" docker run --rm --entrypoint sh "$image" -c '! command -v cargo gcc cc && [ ! -e /build ]'
check "no secret variable in it" lacks "$(inspect "$image" '{{.Config.Env}}')" PASSWORD ACCESS TOKEN
check "smaller than 130 MB" test "$(size_mb "$image")" -lt 130
check "both Dockerfiles open with the same layers" cmp \
  <(sed -n '/AS dependencies$/,/^$/p' docker/cdc-collector/Dockerfile) <(sed -n '/AS dependencies$/,/^$/p' docker/emulator/Dockerfile)

echo "-- wrong configuration"
refused() { # EXIT-STATUS-WANTED PART… : what `once` gave is in $output and $status
  equal "$1" "$status" && contains "$output" "${@:2}" && lacks "$output" panicked 'stack backtrace' "$password"
}
attempt() { status=0; output=$(once "$@") || status=$?; }
attempt --
check "without required variables: exit 78, all of them named" refused 78 '4 problems' DATABASE_HOST DATAHUB_ENDPOINT DATAHUB_ACCESS_ID DATAHUB_ACCESS_KEY
attempt "${defaults[@]}" --env DATABASE_PORT=none --env "DATABASE_PASSWRD=$password" --env HEAP_SIZE=1 --
check "wrong values and a misspelt name: exit 78, all of them named" refused 78 DATABASE_PORT DATABASE_PASSWRD HEAP_SIZE
attempt "${defaults[@]}" --volume "$work:/opt/cdc-collector/data:ro" --
check "a directory that cannot be written: exit 78 and what to do" refused 78 DATA_DIR=/opt/cdc-collector/data 'not writable by user 10001'

echo "-- each variable, as the collector reads it"
# Every option that application.yml lists, with a value that is not its default; a secret is never shown.
cat >"$work/options" <<'OPTIONS'
DATABASE_HOST other.example.com
DATABASE_PORT 2883
DATABASE_USERNAME cdc@tenant#cluster
DATABASE_PASSWORD hidden-1
DATABASE_OBSERVER_HOST observer.example.com
DATABASE_OBSERVER_PORT 2882
DATABASE_OBSERVER_USERNAME tables@tenant
DATABASE_OBSERVER_PASSWORD hidden-7
DATABASE_SCHEMA shop,!old
DATABASE_TABLES items,!log_*
DATABASE_TLS_MODE required
DATABASE_TLS_CA /etc/ssl/certs/ca-certificates.crt
DATABASE_TLS_CERT /etc/ssl/certs/ca-certificates.crt
DATABASE_TLS_KEY /etc/ssl/certs/ca-certificates.crt
DATABASE_SERVER_ID 4711
DATABASE_HEARTBEAT_SECONDS 5
DATABASE_CONNECT_TIMEOUT_SECONDS 20
SCHEMA_CHECK_SECONDS 30
CAPTURE_GHOST_TABLES true
SCHEMA_POLICY halt
TYPE_POLICY skip_table
START_POSITION earliest
ON_POSITION_LOST latest
ENVELOPE canal
COLUMN_EXCLUDE users.note
COLUMN_MASK users.phone=hmac
COLUMN_MASK_KEY hidden-6-of-sixteen
COLUMN_RULES_ON_KEYS true
EMIT_TRANSACTIONS true
EMIT_DDL true
TUPLE_NAMES dts
DATAHUB_ENDPOINT https://dh-cn-hangzhou.aliyuncs.com
DATAHUB_ACCESS_ID hidden-2
DATAHUB_ACCESS_KEY hidden-3
DATAHUB_SECURITY_TOKEN hidden-4
DATAHUB_PROJECT other_project
DATAHUB_TOPIC other_topic
DATAHUB_CONSUMER_GROUP other-group
DATAHUB_COMPRESSION deflate
RESUME_FROM_TOPIC false
DATAHUB_CREATE_TOPIC true
DATAHUB_SHARDS 7
DATAHUB_LIFECYCLE_DAYS 5
DATAHUB_TIMEOUT_SECONDS 60
BATCH_MAX_BYTES 512k
BATCH_MAX_RECORDS 100
BATCH_LINGER_MS 50
HEAP_SIZE 64m
POISON_POLICY dead_letter
DEAD_LETTER_MAX_BYTES 64m
RETRY_MAX_ATTEMPTS 7
RETRY_BACKOFF_MS 100
RETRY_BACKOFF_MAX_MS 1000
MONITORING_PORT 9091
MONITORING_ADDRESS 127.0.0.1
PURGE_WARN_SECONDS 7200
READY_WHEN_STANDBY true
READY_MAX_UNACKED_SECONDS 60
LIVENESS_STALL_SECONDS 60
LOG_LEVEL DEBUG
LOG_FORMAT json
LOG_DIR /opt/cdc-collector/data/logs
DATA_DIR /opt/cdc-collector/logs/data
LEASE none
SHUTDOWN_TIMEOUT_SECONDS 20
EXIT_ON_HALT true
EXTRA_JAVA_OPTS hidden-5
OPTIONS
settings=()
while read -r name value; do settings+=(--env "$name=$value"); done <"$work/options"
once "${settings[@]}" -- config >"$work/shown" || true
# A value counts if it is shown, and as coming from this variable.
shown() { contains "$(grep -E "# environment, $1\$" "$work/shown")" "${2/hidden-*/"***"}"; }
while read -r name value; do check "$name" shown "$name" "$value"; done <"$work/options"
check "no option of application.yml was left out" equal \
  "$(grep -o '\[[A-Z_]*\]$' application.yml | tr -d '[]' | sort)" "$(cut -d' ' -f1 "$work/options" | sort)"

echo "-- surroundings"
database=$(container database) datahub=$(container datahub)
docker run --detach --name "$database" --label "$label" --network "$network" --network-alias database \
  --env "MYSQL_ROOT_PASSWORD=$password" --env MYSQL_DATABASE=shop --env MYSQL_USER=cdc --env "MYSQL_PASSWORD=$password" \
  mysql:8.4 --server-id=1 --gtid-mode=ON --enforce-gtid-consistency=ON >/dev/null
docker run --detach --name "$datahub" --label "$label" --network "$network" --network-alias datahub \
  "$emulator" --create --project realtime_pipeline --topic cdc_events --shards 2 --access-id "$access_id" --access-key "$access_key" >/dev/null
check "the database starts" eventually 120 sql "SELECT 1"
check "the emulator starts" eventually 30 service /_emulator/health
sql "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO cdc;
  CREATE TABLE shop.items (id INT PRIMARY KEY, name VARCHAR(100)); CREATE TABLE shop.carts (id INT PRIMARY KEY);
  CREATE DATABASE other; CREATE TABLE other.items (id INT PRIMARY KEY);"
insert() { sql "INSERT INTO ${2:-shop.items} VALUES ($1)"; }

echo "-- each variable of an address or a key, by what goes wrong without it"
attempt "${defaults[@]}" -- check
check "with the right ones, check finds nothing" refused 0 'ok     server' 'ok     datahub_topic'
while read -r setting code part; do
  attempt "${defaults[@]}" --env "$setting" -- check
  check "check with $setting" refused 1 "$code" "$part"
done <<'SETTINGS'
DATABASE_HOST=nowhere.invalid host_unknown nowhere.invalid
DATABASE_PORT=3307 connection_refused :3307
DATABASE_USERNAME=nobody FATAL database
DATABASE_PASSWORD=wrong database_access_denied 1045
DATABASE_SCHEMA=nothing schema_missing nothing
DATAHUB_ENDPOINT=http://datahub:7071 datahub_unreachable :7071
DATAHUB_ACCESS_ID=wrong datahub_unauthorized wrong
DATAHUB_ACCESS_KEY=wrong datahub_unauthorized signature
DATAHUB_PROJECT=nothing datahub_no_such_project nothing
DATAHUB_TOPIC=nothing datahub_no_such_topic topic
SETTINGS

echo "-- as the guide starts it"
# The container whose health is watched with the guide's own interval while the other checks run.
run guide --restart=unless-stopped --publish 127.0.0.1::8080 --env 'DATABASE_TABLES=*'
start=$(date +%s%3N)
check "ready within the guide's 60 s" ready guide 60
printf '          ready %d ms after docker run returned\n' $(($(date +%s%3N) - start))
guide=$(container guide)
check "the published port answers" curl -fsS "http://$(docker port "$guide" 8080/tcp | sed -n 1p)/health"
check "the collector runs as cdcuser under tini" equal "root-free 1 tini cdcuser cdc-collector" \
  "$(docker exec "$guide" sh -c 'ps -eo user= | grep -q root && echo root || printf "root-free "; ps -o pid=,comm= -p 1 | xargs | tr "\n" " "; ps -o user=,comm= -C cdc-collector | xargs')"
insert "1, 'first row'"
check "a row reaches the topic" eventually 20 delivered 'first row'
check "logs are in /opt/cdc-collector/logs" docker exec "$guide" sh -c 'grep -rq INFO /opt/cdc-collector/logs && ls -l /opt/cdc-collector/logs'
check "logs are on standard output too" contains "$(logs guide)" INFO
check "docker exec … cdc-collector healthcheck" docker exec "$guide" cdc-collector healthcheck

# restarted CONTAINER BEFORE: it has another start time, and its service answers again.
restarted() { [ "$(inspect "$(container "$1")" '{{.State.StartedAt}}')" != "$2" ] && get "$1" /health/ready; }
before=$(inspect "$guide" '{{.State.StartedAt}}')
docker exec "$guide" pkill -9 cdc-collector || true
insert "2, 'row while down'"
check "killed inside with kill -9: back within 66 s" eventually 66 restarted guide "$before"
check "what was written meanwhile arrives" eventually 20 delivered 'row while down'
check "and nothing twice" equal 1 "$(records | grep -o 'row while down' | wc -l)"
check "the engine counted one restart" equal 1 "$(inspect "$guide" '{{.RestartCount}}')"

echo "-- locked down"
run locked --read-only --cap-drop=ALL --security-opt no-new-privileges --memory=256m --cpus=0.5 --env DATAHUB_CONSUMER_GROUP=locked
check "--read-only --cap-drop=ALL --memory --cpus: ready" ready locked
insert "3, 'through the locked one'"
check "it delivers" eventually 20 delivered '"locked"'
check "it has no capability" docker exec "$(container locked)" grep -q 'CapEff:.0000000000000000' /proc/self/status
check "its root cannot be written" docker exec "$(container locked)" sh -c '! touch /opt/cdc-collector/x /tmp/x'
check "its data and logs can" docker exec "$(container locked)" sh -c 'test -n "$(ls /opt/cdc-collector/data)" && test -n "$(ls /opt/cdc-collector/logs)"'
check "it stays far below its memory" test "$(docker exec "$(container locked)" sh -c 'ps -o rss= -C cdc-collector')" -lt 131072

echo "-- secrets in files"
mkdir "$work/secrets"
printf '%s\n' "$password" >"$work/secrets/password"
printf '%s\n' "$access_id" >"$work/secrets/id"
printf '%s\n' "$access_key" >"$work/secrets/key"
chmod -R a+rX "$work"
docker_run files --volume "$work/secrets:/run/secrets:ro" --env DATABASE_HOST=database --env DATABASE_PORT=3306 \
  --env DATAHUB_CONSUMER_GROUP=files --env DATABASE_USERNAME=cdc --env DATABASE_PASSWORD_FILE=/run/secrets/password --env DATABASE_SCHEMA=shop \
  --env DATAHUB_ENDPOINT=http://datahub:7070 --env DATAHUB_ACCESS_ID_FILE=/run/secrets/id \
  --env DATAHUB_ACCESS_KEY_FILE=/run/secrets/key --env DATAHUB_PROJECT=realtime_pipeline --env DATAHUB_TOPIC=cdc_events
check "secrets as files: ready" ready files
check "and neither the engine, the log nor /health shows one" lacks \
  "$(docker inspect "$(container files)"; logs files; get files /health; get files /metrics)" "$password" "$access_id" "$access_key"
check "an option from a mounted application.yml" contains "$(printf 'delivery:\n  heap_size: "48m"\n' >"$work/application.yml" &&
  once "${defaults[@]}" --volume "$work/application.yml:/opt/cdc-collector/application.yml:ro" -- config)" 'heap_size: "48m" # application.yml'

echo "-- each other variable, by what it does"
docker stop --time 10 "$(container locked)" "$(container files)" >/dev/null
run effects --env DATABASE_TABLES='*,!carts' --env DATAHUB_CONSUMER_GROUP=group-of-effects --env HEAP_SIZE=64m \
  --env LOG_FORMAT=json --env EXTRA_JAVA_OPTS=-Xmx1g --env MONITORING_PORT=9091 \
  --env DATABASE_SERVER_ID=4711 --env DATAHUB_CREATE_TOPIC=true --env DATAHUB_TOPIC=made_topic --env DATAHUB_SHARDS=3 \
  --env START_POSITION=earliest --env DATA_DIR=/opt/cdc-collector/data/deeper --health-interval=1s
effects() { get effects "$1" 9091; }
check "MONITORING_PORT: ready on 9091" eventually 60 effects /health/ready
check "MONITORING_PORT: the health check follows" eventually 30 health_is "$(container effects)" healthy
check "START_POSITION: rows from before the start arrive" eventually 30 delivered 'first row' made_topic
check "DATAHUB_CREATE_TOPIC, DATAHUB_SHARDS: a topic of 3 shards" equal 3 "$(effects /health | jq '.components.datahub.shards | length')"
insert 1 shop.carts
insert "4, 'after carts'"
check "DATABASE_TABLES: what it excludes does not arrive" eventually 30 delivered 'after carts' made_topic
check "DATABASE_TABLES: nor anything of it before" lacks "$(records made_topic)" '\"carts\"'
check "DATABASE_SCHEMA: nothing of another database" lacks "$(records made_topic)" '\"other\"'
check "DATAHUB_CONSUMER_GROUP: on every record" contains "$(records made_topic)" group-of-effects
check "HEAP_SIZE: the byte budget" contains "$(effects /metrics)" 'cdc_budget_bytes 67108864'
check "LOG_FORMAT: every line is JSON" test "$(docker logs "$(container effects)" | jq -r .level | grep -c INFO)" -gt 0
check "EXTRA_JAVA_OPTS: one warning" equal 1 "$(logs effects | grep -c EXTRA_JAVA_OPTS)"
check "DATABASE_SERVER_ID: as the database sees it" contains "$(sql 'SHOW REPLICAS')" 4711
check "DATA_DIR: the checkpoint" docker exec "$(container effects)" sh -c 'ls /opt/cdc-collector/data/deeper/*'
# The emulator refuses all puts from now on.
refuse_puts() {
  service /_emulator/faults --request POST --data \
    '{"match": {"call": "put"}, "action": {"kind": "error", "code": "LimitExceeded", "status": 429, "message": "planted"}}' >/dev/null
}
heal() { service /_emulator/faults --request DELETE >/dev/null; }
docker stop --time 10 "$(container effects)" >/dev/null

refuse_puts
run patient --env DATAHUB_CONSUMER_GROUP=patient --env RETRY_MAX_ATTEMPTS=1000 --env RETRY_BACKOFF_MS=10 --env RETRY_BACKOFF_MAX_MS=10 --env EXIT_ON_HALT=true
run hasty --env RETRY_MAX_ATTEMPTS=1 --env RETRY_BACKOFF_MS=60000 --env RETRY_BACKOFF_MAX_MS=60000 --env DATAHUB_CONSUMER_GROUP=hasty \
  --env LOG_LEVEL=WARN
check "with puts refused, both become ready" ready patient
ready hasty || true
not_ready() { equal false "$(health "$1" .ready)"; }
insert "5, 'to be retried'"
check "RETRY_MAX_ATTEMPTS: not ready after one failure" eventually 10 not_ready hasty
check "RETRY_BACKOFF_MS, RETRY_BACKOFF_MAX_MS: 10 ms make many retries" eventually 10 at_least patient cdc_retries_total 50
check "RETRY_BACKOFF_MS: 60 s make none yet" equal 1 "$(metric hasty cdc_put_requests_total)"
check "RETRY_MAX_ATTEMPTS: ready after fewer than 1000" get patient /health/ready
check "LOG_LEVEL: the failure is logged at WARN, and nothing at INFO" equal "WARN" "$(logs hasty | grep -oE ' (INFO|WARN|ERROR) ' | sort -u | xargs)"
heal
check "and nothing was lost" eventually 20 delivered 'to be retried'

docker stop --time 10 "$(container patient)" "$(container hasty)" >/dev/null

run halting --env DATAHUB_TOPIC=nothing --env EXIT_ON_HALT=true
gone() { equal "false $2" "$(inspect "$(container "$1")" '{{.State.Running}} {{.State.ExitCode}}')"; }
check "EXIT_ON_HALT: exit 1 where the topic is missing" eventually 30 gone halting 1
run halted --env DATAHUB_TOPIC=nothing --env DATAHUB_CONSUMER_GROUP=halted
check "without: alive, not ready, and /health says why" eventually 30 contains_health halted datahub_no_such_topic
check "and /health/live still answers 200" get halted /health/live

echo "-- stopping"
stops() { # NAME: docker stop with the engine's own ten seconds must end in exit 0
  local took
  took=$(milliseconds docker stop "$(container "$1")") && gone "$1" 0 && [ "$took" -lt 10000 ] &&
    printf '          stopped in %d ms\n' "$took" >&"$console"
}
insert "6, 'last before the stop'"
check "docker stop: exit 0 in under 10 s" stops guide
docker start "$guide" >/dev/null
check "and started again, it continues" ready guide
check "with what was committed just before the stop" eventually 20 delivered 'last before the stop'
run stuck --env DATAHUB_CONSUMER_GROUP=stuck
ready stuck || true
refuse_puts
insert "7, 'undeliverable'"
check "docker stop while DataHub refuses: exit 0 in under 10 s" stops stuck
heal
docker start "$(container stuck)" >/dev/null
check "and what it could not deliver is delivered by the next start" eventually 30 delivered_by stuck undeliverable
run quick_stop --env DATAHUB_CONSUMER_GROUP=quick --env SHUTDOWN_TIMEOUT_SECONDS=1
ready quick_stop || true
refuse_puts
insert "8, 'undeliverable too'"
eventually 10 at_least quick_stop cdc_retries_total 1 || true
gives_up_after_a_second() {
  local took
  took=$(milliseconds docker stop "$(container quick_stop)") && [ "$took" -ge 1000 ] && [ "$took" -lt 4000 ]
}
check "SHUTDOWN_TIMEOUT_SECONDS: 1 s is kept" gives_up_after_a_second
heal

echo "-- the health check"
# With the guide's intervals this would take minutes: same command, shorter ones.
run frozen --health-interval=1s --health-timeout=1s --health-retries=2 --health-start-period=1s
check "healthy once it is up" eventually 30 health_is "$(container frozen)" healthy
docker exec "$(container frozen)" pkill -STOP cdc-collector
check "a frozen process turns unhealthy" eventually 30 health_is "$(container frozen)" unhealthy
docker exec "$(container frozen)" pkill -CONT cdc-collector
check "and healthy when it goes on" eventually 30 health_is "$(container frozen)" healthy
check "with the guide's own intervals: healthy" eventually 66 health_is "$guide" healthy

[ -z "${PAUSE:-}" ] || sleep "$PAUSE"
summary
