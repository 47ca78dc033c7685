#!/usr/bin/env bash
# Turns the variables of the image into Flink's configuration, then becomes the TaskManager.
# Another command is run as it is: docker run … bash
set -euo pipefail
[ "${1:-taskmanager}" = taskmanager ] || exec "$@"
# shellcheck source=../flink/configure.sh
. /opt/realtime-pipeline/configure.sh

: "${JOB_MANAGER_RPC_ADDRESS:=jobmanager}" "${TASK_MANAGER_HEAP_SIZE:=1024m}" "${TASK_MANAGER_MEMORY_PROCESS_SIZE:=1728m}"
: "${TASK_MANAGER_MEMORY_MANAGED_SIZE:=512m}" "${TASK_MANAGER_NUMBER_OF_TASK_SLOTS:=4}" "${TASK_MANAGER_RPC_PORT:=6122}"
: "${TASK_MANAGER_DATA_PORT:=6121}" "${TASK_MANAGER_NETWORK_MEMORY_MIN:=64m}" "${TASK_MANAGER_NETWORK_MEMORY_MAX:=256m}"

# Divides the process among its parts, and sets TASK_HEAP_SIZE.
#
# Process, managed and network memory are kept as given. The heap is an upper limit: where it does not fit beside the
# others (the defaults do not: 1024m + 512m leave less than the JVM itself needs of 1728m), it gets what is left,
# and the log says so. More would be promised than the container has, and the kernel would end the process.
divide_memory() {
  local process heap managed least most overhead flink network room
  process=$(bytes "$TASK_MANAGER_MEMORY_PROCESS_SIZE") heap=$(bytes "$TASK_MANAGER_HEAP_SIZE")
  managed=$(bytes "$TASK_MANAGER_MEMORY_MANAGED_SIZE")
  least=$(bytes "$TASK_MANAGER_NETWORK_MEMORY_MIN") most=$(bytes "$TASK_MANAGER_NETWORK_MEMORY_MAX")
  [ "$least" -le "$most" ] ||
    problem "TASK_MANAGER_NETWORK_MEMORY_MIN=$TASK_MANAGER_NETWORK_MEMORY_MIN is larger than TASK_MANAGER_NETWORK_MEMORY_MAX=$TASK_MANAGER_NETWORK_MEMORY_MAX"
  if [ "$heap" -gt "$process" ]; then
    problem "TASK_MANAGER_HEAP_SIZE=$TASK_MANAGER_HEAP_SIZE is larger than TASK_MANAGER_MEMORY_PROCESS_SIZE=$TASK_MANAGER_MEMORY_PROCESS_SIZE"
    return
  fi
  # Flink's own shares: a tenth for the JVM's overhead, 192m to 1g; 256m of metaspace; a tenth of the rest for network.
  overhead=$((process / 10))
  [ "$overhead" -ge $((192 * mib)) ] || overhead=$((192 * mib))
  [ "$overhead" -le $((1024 * mib)) ] || overhead=$((1024 * mib))
  flink=$((process - overhead - 256 * mib))
  network=$((flink / 10))
  [ "$network" -le "$most" ] || network=$most
  [ "$network" -ge "$least" ] || network=$least
  room=$((flink - 128 * mib - managed - network))
  if [ "$room" -lt $((192 * mib)) ]; then
    problem "TASK_MANAGER_MEMORY_PROCESS_SIZE=$TASK_MANAGER_MEMORY_PROCESS_SIZE is $(((192 * mib - room + mib - 1) / mib))m too small for a heap of 192m, managed memory of $TASK_MANAGER_MEMORY_MANAGED_SIZE, network of $((network / mib))m and the JVM's own $(((process - flink + 128 * mib) / mib))m"
    return
  fi
  if [ "$heap" -gt "$room" ]; then
    heap=$room
    [ "$problems" != 0 ] || note "JVM heap is $((heap / mib))m, not TASK_MANAGER_HEAP_SIZE=$TASK_MANAGER_HEAP_SIZE: that is what managed memory of $TASK_MANAGER_MEMORY_MANAGED_SIZE, network of $((network / mib))m and the JVM's own $(((process - flink + 128 * mib) / mib))m leave of TASK_MANAGER_MEMORY_PROCESS_SIZE=$TASK_MANAGER_MEMORY_PROCESS_SIZE"
  fi
  # Flink keeps 128m of the heap for itself.
  TASK_HEAP_SIZE=$((heap / mib - 128))m
}

check_common
check_number JOB_MANAGER_RPC_PORT 1 65535 "a port"
check_ports 9249 8080 TASK_MANAGER_RPC_PORT TASK_MANAGER_DATA_PORT
check_number TASK_MANAGER_NUMBER_OF_TASK_SLOTS 1 1024 "a number of slots"
sound=yes
check_size TASK_MANAGER_HEAP_SIZE 192m || sound=no
check_size TASK_MANAGER_MEMORY_PROCESS_SIZE 768m || sound=no
check_size TASK_MANAGER_MEMORY_MANAGED_SIZE 0m || sound=no
check_size TASK_MANAGER_NETWORK_MEMORY_MIN 1m || sound=no
check_size TASK_MANAGER_NETWORK_MEMORY_MAX 1m || sound=no
TASK_HEAP_SIZE=
[ "$sound" = no ] || divide_memory
[ "$HA_MODE" = NONE ] || check_dir CHECKPOINT_DIR

start taskmanager
