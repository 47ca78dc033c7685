# Sourced by the entrypoints of both Flink images: checks variables, writes Flink's configuration, starts it.
#
# Flink's own errors come late, as stack traces, and after a JVM's start. What it cannot take is therefore said here:
# one line a problem, all problems at once, exit code 78, no JVM.
# shellcheck shell=bash

home=${FLINK_HOME:-/opt/flink}
parts=/opt/realtime-pipeline
problems=0
readonly mib=1048576

problem() {
  printf 'entrypoint.sh: %s\n' "$*" >&2
  problems=$((problems + 1))
}

note() { printf 'entrypoint.sh: %s\n' "$*"; }

# Bytes of a size such as 1024m, 1g, 64mb; fails on anything else.
bytes() {
  [[ ${1,,} =~ ^([0-9]{1,9})(b|bytes|k|kb|m|mb|g|gb|t|tb|)$ ]] || return 1
  local factor=1
  case ${BASH_REMATCH[2]} in
    k*) factor=1024 ;;
    m*) factor=$mib ;;
    g*) factor=$((mib * 1024)) ;;
    t*) factor=$((mib * mib)) ;;
  esac
  echo $((10#${BASH_REMATCH[1]} * factor))
}

# check_size NAME MINIMUM: a size of at least MINIMUM.
check_size() {
  local name=$1 least=$2 size
  if ! size=$(bytes "${!name}"); then
    problem "$name=${!name} is not a size; write a number and a unit, as in 1024m or 2g"
    return 1
  elif [ "$size" -lt "$(bytes "$least")" ]; then
    problem "$name=${!name} is less than $least$([[ ${!name} =~ ^[0-9]+$ ]] && echo '; a number without a unit counts bytes' || true)"
    return 1
  fi
}

# check_number NAME MINIMUM MAXIMUM WHAT
check_number() {
  local name=$1
  [[ ${!name} =~ ^[0-9]{1,12}$ ]] && [ "$((10#${!name}))" -ge "$2" ] && [ "$((10#${!name}))" -le "$3" ] ||
    problem "$name=${!name} is not $4; it must be a whole number from $2 to $3"
}

# check_ports NAME…: ports of this container, each used once; more ports that are taken come as numbers.
check_ports() {
  local name port
  local -A owner=()
  for name; do
    if [[ $name =~ ^[0-9]+$ ]]; then
      owner[$name]="the metrics endpoint"
      continue
    fi
    port=${!name}
    check_number "$name" 1 65535 "a port"
    [ -z "${owner[$port]:-}" ] || problem "$name=$port is taken by ${owner[$port]}; give each its own port"
    owner[$port]=$name
  done
}

check_host() {
  [[ ${!1} =~ ^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$ ]] || problem "$1=${!1} is not a host name or an address"
}

# check_dir NAME: a URI; a directory of this container must exist or be made, and be writable.
check_dir() {
  local name=$1 dir=${!1}
  if ! [[ $dir =~ ^[a-z][a-z0-9+.-]*:/[^[:space:]]+$ ]]; then
    problem "$name=$dir is not a URI; write file:///path, s3://bucket/path, …"
  elif [[ $dir == file:* ]]; then
    dir=${dir#file:}
    while [[ $dir == //* ]]; do dir=${dir#/}; done
    check_writable "$name" "$dir"
  fi
}

check_writable() {
  local name=$1 dir=$2
  mkdir -p "$dir" 2>/dev/null || true
  [ -d "$dir" ] && [ -w "$dir" ] ||
    problem "$name=$dir cannot be written by user $(id -u):$(id -g); run 'chown $(id -u):$(id -g)' on the mounted directory, or mount a named volume"
}

check_java_options() {
  [ -n "$EXTRA_JAVA_OPTS" ] || return 0
  if [[ $EXTRA_JAVA_OPTS =~ (^|[[:space:]])(-Xm[sx]|-XX:(MaxDirectMemorySize|MaxMetaspaceSize|MaxHeapSize|InitialHeapSize)) ]]; then
    problem "EXTRA_JAVA_OPTS must not set ${BASH_REMATCH[2]}: Flink works out the JVM's memory from the *_SIZE variables"
  # Flink's start script hands these options to the shell's eval.
  elif [[ $EXTRA_JAVA_OPTS == *[$'`;|&<>#\n']* || $EXTRA_JAVA_OPTS == *'$('* ]]; then
    problem "EXTRA_JAVA_OPTS must be one line without any of \` ; | & < > # and \$("
  elif [[ ! $EXTRA_JAVA_OPTS =~ ^[[:space:]]*-([^[:space:]]+)([[:space:]]+-[^[:space:]]+)*[[:space:]]*$ ]]; then
    problem "EXTRA_JAVA_OPTS=$EXTRA_JAVA_OPTS is not a list of JVM options, each of which starts with -"
  fi
}

# The variables that every process of a cluster needs, with their defaults.
check_common() {
  : "${JOB_MANAGER_RPC_PORT:=6123}" "${CHECKPOINT_DIR:=file:///opt/flink/checkpoints}" "${EXTRA_JAVA_OPTS:=}"
  : "${HA_MODE:=NONE}" "${HA_ZOOKEEPER_QUORUM:=}" "${HA_CLUSTER_ID:=/default}" "${HA_STORAGE_DIR:=}"
  check_host JOB_MANAGER_RPC_ADDRESS
  check_java_options
  case ${HA_MODE^^} in
    NONE) HA_ZOOKEEPER_QUORUM='' HA_STORAGE_DIR='' ;;
    ZOOKEEPER)
      # Without it a new leader would find the jobs' names in ZooKeeper and their state nowhere.
      [ -n "$HA_STORAGE_DIR" ] || HA_STORAGE_DIR=${CHECKPOINT_DIR%/}/ha
      if [ -z "$HA_ZOOKEEPER_QUORUM" ]; then
        problem "HA_MODE=$HA_MODE needs HA_ZOOKEEPER_QUORUM, as in zookeeper-1:2181,zookeeper-2:2181"
      elif ! [[ $HA_ZOOKEEPER_QUORUM =~ ^[A-Za-z0-9._-]+:[0-9]{1,5}(,[A-Za-z0-9._-]+:[0-9]{1,5})*$ ]]; then
        problem "HA_ZOOKEEPER_QUORUM=$HA_ZOOKEEPER_QUORUM is not a list of host:port, separated by commas"
      fi
      check_dir HA_STORAGE_DIR
      ;;
    *) problem "HA_MODE=$HA_MODE is unknown; it is NONE or ZOOKEEPER" ;;
  esac
  HA_MODE=${HA_MODE^^}
  [[ $HA_CLUSTER_ID =~ ^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$ ]] ||
    problem "HA_CLUSTER_ID=$HA_CLUSTER_ID is not a ZooKeeper path, as in /default"
  check_writable FLINK_LOG_DIR "${FLINK_LOG_DIR:=/opt/flink/logs}"
  export FLINK_LOG_DIR
}

# Writes conf/flink-conf.yaml from the parts; a variable stands at the end of its line. FLINK_PROPERTIES, lines of
# configuration as in the official image, comes last and wins.
render() {
  local line name
  while IFS= read -r line; do
    if [[ $line != '#'* && $line =~ \$\{([A-Z_0-9]+)\}$ ]]; then
      name=${BASH_REMATCH[1]}
      [ -n "${!name}" ] || continue
      line=${line%"\${$name}"}${!name}
    fi
    printf '%s\n' "$line"
  done < <(cat "$parts/flink-conf.yaml" "$parts/flink-conf.role.yaml")
  [ -z "${FLINK_PROPERTIES:-}" ] || printf '\n%s\n' "$FLINK_PROPERTIES"
}

# start ROLE: becomes Flink, whose scripts replace themselves by the JVM, so that a stop signal reaches it.
start() {
  [ "$problems" = 0 ] || exit 78
  render >"$home/conf/flink-conf.yaml"
  # After a restart the ids in here are other processes', and Flink would number its log files on.
  rm -f /tmp/flink-*.pid
  export FLINK_IDENT_STRING=flink
  # glibc's allocator fragments under RocksDB until the process outgrows its container.
  local allocator
  for allocator in /usr/lib/*/libjemalloc.so*; do
    if [ -e "$allocator" ]; then export LD_PRELOAD=$allocator; fi
    break
  done
  exec "$home/bin/$1.sh" start-foreground
}
