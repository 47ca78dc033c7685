#!/usr/bin/env bash
# The JobManager's and the TaskManager's image, built from their Dockerfiles and run as the guide says: what they are,
# what each variable does, what they refuse, how they stop and come back, and a job over recorded changes.
#
# The base image must be there: pulled, or made by base-flink.sh. With the images of collector, emulator and mysql:8.4
# the changes are recorded anew, else flink/recorded.tar.gz is taken. The job needs javac on this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/checks.sh

jm=realtime-pipeline/jobmanager:1.0.0
tm=realtime-pipeline/taskmanager:1.0.0
volumes=()
trap 'cleanup; [ ${#volumes[@]} = 0 ] || docker volume rm -f "${volumes[@]}" >/dev/null 2>&1' EXIT

echo "-- images"
docker image inspect flink:1.20-java17 >/dev/null 2>&1 || tests/docker/base-flink.sh
check "the JobManager's image builds" build docker/jobmanager/Dockerfile "$jm"
check "the TaskManager's image builds" build docker/taskmanager/Dockerfile "$tm"
docker image inspect "$jm" "$tm" >/dev/null || { summary; exit 1; }

name() { echo "cdc-test-flink-$1-$$"; }
# start NAME IMAGE [DOCKER-OPTION…]
start() { docker run --detach --name "$(name "$1")" --label "$label" --network "$network" "${@:3}" "$2" >/dev/null; }
within() { docker exec "$(name "$1")" "${@:2}"; }
rest() { curl -fsS --max-time 5 "http://$(address "$(name "$1")"):${3:-8081}$2"; } # JOBMANAGER PATH [PORT]
setting() { rest "$1" /jobmanager/config "${3:-8081}" | jq -r --arg key "$2" '.[] | select(.key == $key) | .value'; }
set_to() { equal "$3" "$(setting "$1" "$2" "${4:-8081}")"; } # JOBMANAGER KEY VALUE [PORT]
arguments() { within "$1" sh -c 'tr "\0" " " </proc/$(pgrep -o java)/cmdline'; }
listens() { timeout 5 bash -c ": <>/dev/tcp/$(address "$(name "$1")")/$2"; }
all_listen() {
  local port
  for port in "${@:2}"; do
    listens "$1" "$port" || { echo "nothing listens on $port"; return 1; }
  done
}
healthcheck() {
  docker inspect "$1" |
    jq -ce '.[0].Config.Healthcheck | [.Test, .Interval / 1e9, .Timeout / 1e9, .StartPeriod / 1e9, .Retries]'
}
exposed() { docker inspect "$1" | jq -r '.[0].Config.ExposedPorts | keys | join(" ")'; }
volumes_of() { docker inspect "$1" | jq -r '.[0].Config.Volumes | keys | join(" ")'; }

echo "-- what the images are"
for image in "$jm" "$tm"; do
  short=${image#*/}
  check "$short: user flink, 9999, not root" equal "flink 9999" \
    "$(inspect "$image" '{{.Config.User}}') $(docker run --rm --entrypoint id "$image" -u)"
  check "$short: tini is process 1, procps and curl are there" \
    docker run --rm --entrypoint sh "$image" -c 'command -v tini pkill pgrep curl'
done
check "JobManager: health check of the guide" equal \
  '[["CMD-SHELL","curl -f http://localhost:${REST_PORT:-8081}/overview"],30,10,60,3]' "$(healthcheck "$jm")"
check "TaskManager: health check of the guide" equal \
  '[["CMD","pgrep","-f","org.apache.flink.runtime.taskexecutor.TaskManagerRunner"],30,10,60,3]' "$(healthcheck "$tm")"
# The base image names some of these as well.
check "JobManager: ports" contains "$(exposed "$jm")" 6123/tcp 6124/tcp 8081/tcp 9249/tcp
check "TaskManager: ports" contains "$(exposed "$tm")" 6121/tcp 6122/tcp 8080/tcp 9249/tcp
check "JobManager: volumes" equal "/opt/flink/checkpoints /opt/flink/logs /opt/flink/savepoints" "$(volumes_of "$jm")"
check "TaskManager: volume" equal "/opt/flink/data" "$(volumes_of "$tm")"
check "another command is run as it is" equal 9999 "$(docker run --rm "$jm" id -u)"

# One cluster with the guide's defaults, one with every variable changed.
echo "-- clusters"
for volume in checkpoints savepoints data; do
  volumes+=("$(name "$volume")")
done
shared=(--volume "$(name checkpoints):/opt/flink/checkpoints" --volume "$(name data):/opt/flink/data")
began=$SECONDS
start jm "$jm" --network-alias jobmanager --restart unless-stopped --publish 127.0.0.1::8081 \
  --env JOB_MANAGER_RPC_ADDRESS=jobmanager "${shared[@]}" --volume "$(name savepoints):/opt/flink/savepoints"
start tm "$tm" --restart unless-stopped "${shared[@]}"
slots() { equal "$2" "$(rest "$1" /overview "${3:-8081}" | jq -c '[.taskmanagers, ."slots-total"]')"; }
check "with the defaults a TaskManager with 4 slots registers within 60 s" eventually 60 slots jm '[1,4]'
printf '          ready %d s after docker run\n' $((SECONDS - began))
changed=(
  --env JOB_MANAGER_RPC_ADDRESS=master --env JOB_MANAGER_RPC_PORT=7123 --health-interval 2s --health-timeout 2s
  --env "EXTRA_JAVA_OPTS=-Dpipeline.test=changed -XX:+UseSerialGC"
)
start jm2 "$jm" --network-alias master "${changed[@]}" --env JOB_MANAGER_HEAP_SIZE=512m --env REST_PORT=9081 \
  --env BLOB_SERVER_PORT=7124 --env PARALLELISM_DEFAULT=2 --env CHECKPOINT_INTERVAL=1000 --env STATE_BACKEND=rocksdb \
  --env CHECKPOINT_DIR=file:///opt/flink/data/checkpoints --env SAVEPOINT_DIR=file:///opt/flink/data/savepoints \
  --env "FLINK_PROPERTIES=web.cancel.enable: false" "${shared[@]}"
start tm2 "$tm" "${changed[@]}" --env TASK_MANAGER_HEAP_SIZE=320m --env TASK_MANAGER_MEMORY_PROCESS_SIZE=1400m \
  --env TASK_MANAGER_MEMORY_MANAGED_SIZE=128m --env TASK_MANAGER_NUMBER_OF_TASK_SLOTS=2 --env TASK_MANAGER_RPC_PORT=7122 \
  --env TASK_MANAGER_DATA_PORT=7121 --env TASK_MANAGER_NETWORK_MEMORY_MIN=32m --env TASK_MANAGER_NETWORK_MEMORY_MAX=48m \
  "${shared[@]}"
check "with changed values a TaskManager with 2 slots registers" eventually 120 slots jm2 '[1,2]' 9081

echo "-- values that Flink cannot take"
# refuses WHAT IMAGE TEXT VARIABLE=VALUE…: one line, exit code 78, no JVM.
refused() {
  local image=$1 text=$2 options=() status=0 output
  shift 2
  for variable; do options+=(--env "$variable"); done
  output=$(timeout 20 docker run --rm --label "$label" "${options[@]}" "$image" 2>&1) || status=$?
  equal 78 "$status" && equal 1 "$(grep -c . <<<"$output")" && contains "$output" "entrypoint.sh: $text"
}
refuses() { check "refused: ${*:3}" refused "$@"; }
refuses "$jm" "JOB_MANAGER_HEAP_SIZE=lots is not a size" JOB_MANAGER_HEAP_SIZE=lots
refuses "$jm" "JOB_MANAGER_HEAP_SIZE=1024 is less than 128m" JOB_MANAGER_HEAP_SIZE=1024
refuses "$jm" "JOB_MANAGER_RPC_PORT=0 is not a port" JOB_MANAGER_RPC_PORT=0
refuses "$jm" "REST_PORT=80810 is not a port" REST_PORT=80810
refuses "$jm" "REST_PORT=6123 is taken by JOB_MANAGER_RPC_PORT" REST_PORT=6123
refuses "$jm" "BLOB_SERVER_PORT=9249 is taken by the metrics endpoint" BLOB_SERVER_PORT=9249
refuses "$jm" "PARALLELISM_DEFAULT=0 is not a parallelism" PARALLELISM_DEFAULT=0
refuses "$jm" "CHECKPOINT_INTERVAL=5min is not an interval" CHECKPOINT_INTERVAL=5min
refuses "$jm" "CHECKPOINT_DIR=/opt/flink/checkpoints is not a URI" CHECKPOINT_DIR=/opt/flink/checkpoints
refuses "$jm" "SAVEPOINT_DIR=/proc/savepoints cannot be written" SAVEPOINT_DIR=file:///proc/savepoints
refuses "$jm" "STATE_BACKEND=memory does not exist" STATE_BACKEND=memory
refuses "$jm" "HA_MODE=RAFT is unknown" HA_MODE=RAFT
refuses "$jm" "HA_MODE=ZOOKEEPER needs HA_ZOOKEEPER_QUORUM" HA_MODE=ZOOKEEPER
refuses "$jm" "HA_ZOOKEEPER_QUORUM=zk is not a list" HA_MODE=zookeeper HA_ZOOKEEPER_QUORUM=zk
refuses "$jm" "EXTRA_JAVA_OPTS must not set -Xmx" EXTRA_JAVA_OPTS=-Xmx4g
refuses "$jm" "EXTRA_JAVA_OPTS must be one line" 'EXTRA_JAVA_OPTS=-Da=$(id)'
refuses "$tm" "TASK_MANAGER_HEAP_SIZE=4g is larger than TASK_MANAGER_MEMORY_PROCESS_SIZE=1728m" TASK_MANAGER_HEAP_SIZE=4g
refuses "$tm" "TASK_MANAGER_MEMORY_PROCESS_SIZE=1g is" TASK_MANAGER_MEMORY_PROCESS_SIZE=1g
refuses "$tm" "TASK_MANAGER_MEMORY_MANAGED_SIZE=half is not a size" TASK_MANAGER_MEMORY_MANAGED_SIZE=half
refuses "$tm" "TASK_MANAGER_NETWORK_MEMORY_MIN=512m is larger" TASK_MANAGER_NETWORK_MEMORY_MIN=512m TASK_MANAGER_MEMORY_PROCESS_SIZE=4g
refuses "$tm" "TASK_MANAGER_NUMBER_OF_TASK_SLOTS=four is not" TASK_MANAGER_NUMBER_OF_TASK_SLOTS=four
refuses "$tm" "JOB_MANAGER_RPC_PORT=rpc is not a port" JOB_MANAGER_RPC_PORT=rpc
refuses "$tm" "TASK_MANAGER_RPC_PORT=8080 is taken by the metrics endpoint" TASK_MANAGER_RPC_PORT=8080
refuses "$tm" "TASK_MANAGER_DATA_PORT=6122 is taken by" TASK_MANAGER_DATA_PORT=6122
refuses "$tm" "JOB_MANAGER_RPC_ADDRESS=a b is not a host name" "JOB_MANAGER_RPC_ADDRESS=a b"
all_at_once() {
  local output
  output=$(docker run --rm --env REST_PORT=x --env STATE_BACKEND=y "$jm" 2>&1) && return 1
  contains "$output" REST_PORT=x STATE_BACKEND=y && equal 2 "$(grep -c . <<<"$output")"
}
check "several problems are all listed" all_at_once

echo "-- the guide's defaults"
check "JobManager listens on 6123, 6124, 8081, 9249" all_listen jm 6123 6124 8081 9249
check "TaskManager listens on 6121, 6122, 8080, 9249" all_listen tm 6121 6122 8080 9249
check "JOB_MANAGER_RPC_PORT" set_to jm jobmanager.rpc.port 6123
check "JOB_MANAGER_RPC_ADDRESS of the guide's command" set_to jm jobmanager.rpc.address jobmanager
check "REST_PORT" set_to jm rest.port 8081
check "BLOB_SERVER_PORT" set_to jm blob.server.port 6124
check "PARALLELISM_DEFAULT" set_to jm parallelism.default 4
check "CHECKPOINT_INTERVAL" set_to jm execution.checkpointing.interval 300000
check "CHECKPOINT_DIR" set_to jm execution.checkpointing.dir file:///opt/flink/checkpoints
check "SAVEPOINT_DIR" set_to jm execution.checkpointing.savepoint-dir file:///opt/flink/savepoints
check "STATE_BACKEND" set_to jm state.backend.type hashmap
check "HA_MODE" set_to jm high-availability.type NONE
check "HA_CLUSTER_ID" set_to jm high-availability.cluster-id /default
check "JOB_MANAGER_HEAP_SIZE" contains "$(arguments jm)" -Xmx1073741824
memory() { # JOBMANAGER [PORT]: process, managed, network, heap in MB
  rest "$1" /taskmanagers "${2:-8081}" |
    jq -c '.taskmanagers[0].memoryConfiguration
      | [.totalProcessMemory, .managedMemory, .networkMemory, .frameworkHeap + .taskHeap] | map(. / 1048576 | floor)'
}
check "TASK_MANAGER_* sizes: 1728m, 512m managed, 128m network, 512m heap" equal '[1728,512,128,512]' "$(memory jm)"
check "the log says why the heap is not 1024m" contains "$(docker logs "$(name tm)" 2>&1)" "JVM heap is 512m, not TASK_MANAGER_HEAP_SIZE=1024m"
task_ports() { # JOBMANAGER [PORT]
  rest "$1" /taskmanagers "${2:-8081}" |
    jq -r '.taskmanagers[0] | "\(.path | capture(":(?<port>[0-9]+)/").port) \(.dataPort)"'
}
check "TASK_MANAGER_RPC_PORT, TASK_MANAGER_DATA_PORT" equal "6122 6121" "$(task_ports jm)"
written() { within "$1" grep -qx "$2" /opt/flink/conf/flink-conf.yaml; }
start jm3 "$jm"
check "JOB_MANAGER_RPC_ADDRESS of a JobManager that is not told" eventually 20 written jm3 "jobmanager.rpc.address: localhost"
docker rm --force --volumes "$(name jm3)" >/dev/null
check "JOB_MANAGER_RPC_ADDRESS of a TaskManager that is not told" written tm "jobmanager.rpc.address: jobmanager"

echo "-- every variable changed"
check "JOB_MANAGER_RPC_ADDRESS" set_to jm2 jobmanager.rpc.address master 9081
check "JOB_MANAGER_RPC_PORT, BLOB_SERVER_PORT, REST_PORT are listened on" all_listen jm2 7123 7124 9081
check "JOB_MANAGER_HEAP_SIZE" contains "$(arguments jm2)" -Xmx536870912
check "EXTRA_JAVA_OPTS of the JobManager" contains "$(arguments jm2)" "-Dpipeline.test=changed" -XX:+UseSerialGC
check "PARALLELISM_DEFAULT" set_to jm2 parallelism.default 2 9081
check "CHECKPOINT_INTERVAL" set_to jm2 execution.checkpointing.interval 1000 9081
check "CHECKPOINT_DIR" set_to jm2 execution.checkpointing.dir file:///opt/flink/data/checkpoints 9081
check "SAVEPOINT_DIR" set_to jm2 execution.checkpointing.savepoint-dir file:///opt/flink/data/savepoints 9081
check "STATE_BACKEND" set_to jm2 state.backend.type rocksdb 9081
check "FLINK_PROPERTIES" set_to jm2 web.cancel.enable false 9081
check "TASK_MANAGER_RPC_PORT, TASK_MANAGER_DATA_PORT" equal "7122 7121" "$(task_ports jm2 9081)"
check "they are listened on" all_listen tm2 7122 7121
check "TASK_MANAGER_* sizes: 1400m, 128m managed, 48m network, 320m heap" equal '[1400,128,48,320]' "$(memory jm2 9081)"
check "EXTRA_JAVA_OPTS of the TaskManager" contains "$(arguments tm2)" "-Dpipeline.test=changed" -XX:+UseSerialGC -Xmx335544320
start tm3 "$tm" --env TASK_MANAGER_NETWORK_MEMORY_MIN=160m --env TASK_MANAGER_MEMORY_PROCESS_SIZE=2g
# 128m of Flink's own and the network memory; a byte or two are Flink's rounding.
direct() { contains "$(arguments tm3)" -XX:MaxDirectMemorySize=30198988; }
check "TASK_MANAGER_NETWORK_MEMORY_MIN" eventually 30 direct
docker rm --force --volumes "$(name tm3)" >/dev/null
# The two ways that docs/FLINK.md gives to the whole heap.
start tm4 "$tm" --env TASK_MANAGER_MEMORY_PROCESS_SIZE=2400m
start tm5 "$tm" --env TASK_MANAGER_MEMORY_MANAGED_SIZE=0m
whole_heap() { contains "$(arguments "$1")" -Xmx1073741824 TaskManagerRunner; }
check "TASK_MANAGER_HEAP_SIZE is kept in a process of 2400m" eventually 30 whole_heap tm4
check "TASK_MANAGER_HEAP_SIZE is kept without managed memory" eventually 30 whole_heap tm5
docker rm --force --volumes "$(name tm4)" "$(name tm5)" >/dev/null

echo "-- metrics, logs, health"
metrics() { curl -fsS --max-time 5 "http://$(address "$(name "$1")"):$2/metrics"; }
check "JobManager's metrics on 9249" contains "$(metrics jm 9249)" flink_jobmanager_numRegisteredTaskManagers flink_jobmanager_Status_JVM_Memory_Heap_Used
check "TaskManager's metrics on 9249" contains "$(metrics tm 9249)" flink_taskmanager_Status_JVM_Memory_Heap_Used
check "TaskManager's metrics on 8080" contains "$(metrics tm 8080)" flink_taskmanager_Status_JVM_Memory_Heap_Used
for role in jm tm; do
  check "$role: the log is in /opt/flink/logs" within "$role" sh -c 'grep -q INFO /opt/flink/logs/flink-flink-*.log'
  check "$role: the log is on the console" contains "$(docker logs "$(name "$role")" 2>&1 | grep -c INFO | sed 's/..*/many/')" many
  check "$role: java runs as flink" equal flink "$(within "$role" ps -o user= -C java)"
done
check "the web UI shows the JobManager's log" contains "$(rest jm /jobmanager/logs)" standalonesession
check "JobManager turns healthy" eventually 60 health_is "$(name jm)" healthy
check "TaskManager turns healthy" eventually 60 health_is "$(name tm)" healthy
check "JobManager with another REST_PORT is healthy" eventually 30 health_is "$(name jm2)" healthy
within jm2 pkill -STOP java
check "a JobManager that does not answer turns unhealthy" eventually 30 health_is "$(name jm2)" unhealthy
within jm2 pkill -CONT java
check "and healthy again" eventually 30 health_is "$(name jm2)" healthy

echo "-- jobs"
recorded=$work/recorded
if docker image inspect realtime-pipeline/{cdc-collector,datahub-emulator}:1.0.0 mysql:8.4 >/dev/null 2>&1; then
  check "changes of a MySQL are recorded through the collector" tests/docker/flink/record.sh "$recorded"
else
  printf '          no images of collector, emulator and MySQL: the changes are from flink/recorded.tar.gz\n'
  mkdir "$recorded" && tar -xzf tests/docker/flink/recorded.tar.gz -C "$recorded"
fi
# submit JOBMANAGER SCRIPT: leaves the job's id in $work/job.
submit() {
  docker cp "$2" "$(name "$1"):/tmp/job.sql"
  if ! within "$1" flink run -d -c SqlRunner /opt/flink/data/sql-runner.jar /tmp/job.sql >"$work/submitted" 2>&1; then
    cat "$work/submitted"
    return 1
  fi
  sed -n 's/.*JobID //p' "$work/submitted" >"$work/job"
}
job() { rest "$1" "/jobs/$(cat "$work/job")${3:-}" "$2"; } # JOBMANAGER PORT [PATH]
finished() { equal FINISHED "$(job "$1" "$2" | jq -r .state)"; }
runs() { # JOBMANAGER PORT SCRIPT
  submit "$1" "$3" || return 1
  eventually 60 finished "$1" "$2" && return
  job "$1" "$2" /exceptions | jq -r '."root-exception"' | head -n 20
  return 1
}
# makes_the_table OUT: the job's output, applied, is the source table.
makes_the_table() {
  rm -rf "$work/out"
  docker cp "$(name jm):/opt/flink/data/$1" "$work/out" >/dev/null || return 1
  tests/docker/flink/verify.py "$recorded" "$work/out" | sed 's/^/          /' >&"$console"
}
jobs() {
  local shard
  check "the SQL runner compiles" compile
  docker cp "$recorded/topic" "$(name jm):/opt/flink/data/"
  docker cp "$work/sql-runner.jar" "$(name jm):/opt/flink/data/"
  check "orders.sql runs to its end" runs jm 8081 docker/flink-job/orders.sql
  check "its changelog makes the source table and its sums" makes_the_table out
  checkpoints() {
    job "$1" "$2" /checkpoints/config | jq -r '"\(.interval) \(.state_backend) \(.checkpoint_storage)"'
  }
  parallelism() { job "$1" "$2" | jq '[.vertices[].parallelism] | max'; }
  check "PARALLELISM_DEFAULT and STATE_BACKEND, in the job" equal "4 2000 HashMapStateBackend FileSystemCheckpointStorage" \
    "$(parallelism jm 8081) $(checkpoints jm 8081)"
  # As after a crash of the collector: the end of each shard comes a second time.
  for shard in "$recorded"/topic/orders/*.json; do
    tail -n 150 "$shard" >"$work/again" && cat "$work/again" >>"$shard"
  done
  docker cp "$recorded/topic" "$(name jm):/opt/flink/data/"
  # Without its own interval the cluster's counts.
  grep -v checkpointing.interval docker/flink-job/orders-exact.sql >"$work/orders-exact.sql"
  check "orders-exact.sql runs on the changed cluster" runs jm2 9081 "$work/orders-exact.sql"
  check "with changes that came twice its changelog makes the table" makes_the_table out-exact
  check "PARALLELISM_DEFAULT, CHECKPOINT_INTERVAL, STATE_BACKEND, in the job" equal \
    "2 1000 EmbeddedRocksDBStateBackend FileSystemCheckpointStorage" "$(parallelism jm2 9081) $(checkpoints jm2 9081)"
}
compile() {
  mkdir "$work/classes"
  docker cp "$(name jm):/opt/flink/lib" "$work/lib" >/dev/null
  javac --release 17 -cp "$work/lib/*" -d "$work/classes" docker/flink-job/SqlRunner.java
  jar --create --file "$work/sql-runner.jar" -C "$work/classes" .
}
if command -v javac >/dev/null; then jobs; else skip "jobs" "javac is needed (apt-get install openjdk-17-jdk-headless)"; fi

echo "-- ends and returns"
# returns ROLE COMMAND…: after kill -9 the container goes down, comes back, and COMMAND succeeds again within 66 s.
returns() {
  local role=$1 before
  shift
  before=$(inspect "$(name "$role")" '{{.State.StartedAt}}')
  within "$role" pkill -9 java
  restarted() {
    [ "$(inspect "$(name "$role")" '{{.RestartCount}} {{.State.Running}}')" = "1 true" ] &&
      [ "$before" != "$(inspect "$(name "$role")" '{{.State.StartedAt}}')" ]
  }
  local start=$SECONDS
  eventually 66 restarted && eventually $((66 - SECONDS + start)) "$@" &&
    printf '          back after %d s\n' $((SECONDS - start)) >&"$console"
}
first=$(rest jm /taskmanagers | jq -r '.taskmanagers[0].id')
another() { rest jm /taskmanagers | jq -e --arg old "$first" 'any(.taskmanagers[]; .id != $old)'; }
check "docker exec taskmanager pkill -9 java: a new one registers" returns tm another
check "docker exec jobmanager pkill -9 java: it returns with its TaskManager" returns jm slots jm '[1,4]'
check "the log goes on in the same file" equal 1 "$(within jm sh -c 'ls /opt/flink/logs/*standalonesession*.log | wc -l')"
# stops ROLE: docker stop in less than 10 s, exit code 0, and Flink heard the signal.
stops() {
  local took
  took=$(milliseconds docker stop "$(name "$1")") || return 1
  printf '          %s stopped in %d ms\n' "$1" "$took" >&"$console"
  [ "$took" -lt 10000 ] && equal "0 false" "$(inspect "$(name "$1")" '{{.State.ExitCode}} {{.State.OOMKilled}}')" &&
    contains "$(docker logs --tail 200 "$(name "$1")" 2>&1)" "SIGTERM"
}
check "docker stop of the TaskManager" stops tm
check "docker stop of the JobManager" stops jm
docker rm --force --volumes "$(name jm2)" "$(name tm2)" >/dev/null

echo "-- high availability"
if docker run --rm --entrypoint sh flink:1.20-java17 -c 'test -x bin/zookeeper.sh && test -e conf/zoo.cfg'; then
  ha=(--env HA_MODE=ZOOKEEPER --env HA_ZOOKEEPER_QUORUM=zookeeper:2181 --env HA_CLUSTER_ID=/pipeline-test "${shared[@]}"
    # A dead leader is noticed after this; Flink's own minute would be this test's.
    --env "FLINK_PROPERTIES=high-availability.zookeeper.client.session-timeout: 10000")
  docker run --detach --name "$(name zk)" --label "$label" --network "$network" --network-alias zookeeper \
    --entrypoint bin/zookeeper.sh flink:1.20-java17 start-foreground 1 >/dev/null
  start ha1 "$jm" --network-alias ha1 "${ha[@]}" --env JOB_MANAGER_RPC_ADDRESS=ha1
  start ha2 "$jm" --network-alias ha2 "${ha[@]}" --env JOB_MANAGER_RPC_ADDRESS=ha2
  # Told the wrong JobManager: it has to find the leader in ZooKeeper.
  start hatm "$tm" "${ha[@]}" --env JOB_MANAGER_RPC_ADDRESS=nowhere
  check "HA_MODE, HA_ZOOKEEPER_QUORUM: the TaskManager finds the leader" eventually 120 slots ha1 '[1,4]'
  check "HA_CLUSTER_ID" set_to ha1 high-availability.cluster-id /pipeline-test
  check "the state of high availability lies beside the checkpoints" set_to ha1 high-availability.storageDir file:///opt/flink/checkpoints/ha
  # The containers whose log says that they lead. The log is read to its end: a reader that leaves at the first match
  # would end `docker logs` by SIGPIPE, and pipefail would turn that into "no match".
  leaders() {
    local role
    for role in ha1 ha2; do
      if contains "$(docker logs "$(name "$role")" 2>&1)" "granted leadership" >/dev/null; then echo "$role"; fi
    done
  }
  leader=$(leaders) standby=ha1
  if [ "$leader" = ha1 ]; then standby=ha2; fi
  check "one JobManager leads" equal 1 "$(wc -w <<<"$leader")"
  docker rm --force --volumes "$(name "$leader")" >/dev/null
  check "the other takes over, with the TaskManager" eventually 120 slots "$standby" '[1,4]'
else
  skip "high availability" "this Flink has no ZooKeeper to start"
fi

summary
