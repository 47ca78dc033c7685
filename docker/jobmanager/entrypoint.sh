#!/usr/bin/env bash
# Turns the variables of the image into Flink's configuration, then becomes the JobManager.
# Another command is run as it is: docker run … flink list
set -euo pipefail
[ "${1:-jobmanager}" = jobmanager ] || exec "$@"
# shellcheck source=../flink/configure.sh
. /opt/realtime-pipeline/configure.sh

: "${JOB_MANAGER_RPC_ADDRESS:=localhost}" "${JOB_MANAGER_HEAP_SIZE:=1024m}" "${REST_PORT:=8081}" "${BLOB_SERVER_PORT:=6124}"
: "${PARALLELISM_DEFAULT:=4}" "${CHECKPOINT_INTERVAL:=300000}" "${SAVEPOINT_DIR:=file:///opt/flink/savepoints}"
: "${STATE_BACKEND:=hashmap}"

check_common
check_ports 9249 JOB_MANAGER_RPC_PORT REST_PORT BLOB_SERVER_PORT
check_size JOB_MANAGER_HEAP_SIZE 128m || true
check_number PARALLELISM_DEFAULT 1 32768 "a parallelism"
check_number CHECKPOINT_INTERVAL 10 31536000000 "an interval in milliseconds"
check_dir CHECKPOINT_DIR
check_dir SAVEPOINT_DIR
case $STATE_BACKEND in
  hashmap | rocksdb) ;;
  *) problem "STATE_BACKEND=$STATE_BACKEND does not exist; it is hashmap or rocksdb" ;;
esac

start jobmanager
