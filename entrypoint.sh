#!/bin/sh
# Says plainly what is wrong with a container before the collector starts in it, then becomes the collector:
# process 1 is the binary itself, so a stop signal reaches it and it can drain.
#
#   entrypoint.sh [run|check|config|healthcheck|…]      arguments go to the collector; another program is run as it is
set -eu

binary=${CDC_COLLECTOR_BIN:-/opt/cdc-collector/cdc-collector}

# `docker run … image sh`: a person wants to look around.
case ${1:-} in
  '' | -* | run | check | config | healthcheck | help) set -- "$binary" "$@" ;;
esac

refuse() {
  printf 'entrypoint.sh: %s\n' "$*" >&2
  exit 78
}

# A directory that cannot be written costs the checkpoint (data) or the log files (logs).
writable() {
  name=$1 dir=$2
  mkdir -p "$dir" 2>/dev/null || true
  [ -d "$dir" ] || refuse "$name=$dir is not a directory and cannot be made by user $(id -u):$(id -g)"
  probe=$dir/.writable.$$
  if ! (: >"$probe") 2>/dev/null; then
    owner=$(stat -c '%u:%g' "$dir" 2>/dev/null || echo unknown)
    refuse "$name=$dir is not writable by user $(id -u):$(id -g); it belongs to $owner." \
      "Run 'chown $(id -u):$(id -g)' on the mounted directory, or mount a named volume"
  fi
  rm -f "$probe"
}

# Only a relay writes; looking at the configuration needs no directory.
if [ "${1:-}" = "$binary" ]; then
  [ -x "$binary" ] || refuse "$binary is missing or not executable; was the image built for $(uname -m)?"
  case ${2:-run} in
    run | -*)
      writable DATA_DIR "${DATA_DIR:-./data}"
      [ -z "${LOG_DIR:-}" ] || writable LOG_DIR "$LOG_DIR"
      # A mount of a file that does not exist on the host makes a directory in its place.
      if [ -n "${APPLICATION_YML:-}" ] && [ -d "$APPLICATION_YML" ]; then
        refuse "APPLICATION_YML=$APPLICATION_YML is a directory: the file to mount does not exist on the host"
      fi
      # A collector on "localhost" would look for the database inside its own container.
      case ${DATABASE_HOST:-} in
        localhost | 127.0.0.1 | ::1)
          printf 'entrypoint.sh: DATABASE_HOST=%s is this container itself; use the host'\''s address unless it runs with --network host\n' \
            "$DATABASE_HOST" >&2
          ;;
      esac
      ;;
  esac
fi

exec "$@"
