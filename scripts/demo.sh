#!/usr/bin/env bash
# Shows cdc-collector at work: a real MariaDB, a local DataHub, the collector, a workload, and a verdict.
#
#   scripts/demo.sh [--rows N] [--keep]
#
# --rows N   row changes to relay at full speed; DEMO_ROWS says the same (default: about 20 s of load)
# --keep     leaves everything running at the end, until Ctrl-C
#
# Installs what is missing (a C compiler, curl, MariaDB; root or sudo), builds, runs. Uses free ports
# on loopback and temporary directories; leaves nothing behind but target/. Exit code 1 if anything was lost,
# repeated, out of order or wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
  *" -h "* | *" --help "*) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "scripts/${0##*/}"; exit 0 ;;
esac

# shellcheck disable=SC1091
command -v cargo >/dev/null || { [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"; } || true
command -v cargo >/dev/null || { echo "demo.sh: cargo is missing: install Rust first, https://rustup.rs" >&2; exit 1; }

log=$(mktemp)
ticker=
finish() {
  [ -z "$ticker" ] || { kill "$ticker" 2>/dev/null && wait "$ticker" 2>/dev/null; } || true
  rm -f -- "$log"
}
trap finish EXIT

# Runs one step with its output in a log, which is shown only if it fails; a clock runs on a terminal.
step() {
  local name=$1 start=$SECONDS status=0
  shift
  : >"$log"
  if [ -t 1 ]; then
    while :; do
      printf '\r%-10s %s, %d s\033[K' "$name" "$(grep -c '^ *Compiling' "$log" || true) crates compiled" $((SECONDS - start))
      sleep 1
    done &
    ticker=$!
  fi
  "$@" >"$log" 2>&1 || status=$?
  if [ -n "$ticker" ]; then
    { kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
    ticker=
    printf '\r\033[K'
  fi
  if [ "$status" != 0 ]; then
    tail -n 40 "$log" >&2
    echo "demo.sh: $name failed: $*" >&2
    exit 1
  fi
}

export CARGO_TERM_COLOR=never
scripts/install-test-deps.sh build mariadb | awk '$2 == "installed" { printf "%-10s %s %s\n", "packages", $1, "installed" }'
step build cargo build --release --locked -p cdc-collector -p harness --bin cdc-collector --bin demo
trap - EXIT
finish
exec target/release/demo "$@"
