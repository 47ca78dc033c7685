#!/usr/bin/env bash
# Everything about the images, on a machine with a Docker engine and nothing else: installs what the suites need, makes
# base images under their official tags where they are missing, builds ours from their Dockerfiles, and runs the suites.
#
#   tests/docker/run.sh [collector] [flink] [compose] [health-checks] [kubernetes]        (no argument: all)
#
# Ends with one line that counts; exit code 1 if anything failed. Without an engine all of it counts as skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(collector flink compose health-checks kubernetes)

if ! docker info >/dev/null 2>&1; then
  for suite in "${suites[@]}"; do echo "SKIPPED $suite: no Docker engine answers"; done
  echo "0 passed, 0 failed, ${#suites[@]} skipped"
  exit
fi

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log" "${waited:-}"' EXIT
count() {
  local line
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1) || true
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+) ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
  else
    failed=$((failed + 1)) # it ended before it could count
  fi
}

start=$SECONDS
scripts/install-test-deps.sh containers
base() { tests/docker/base-"$1".sh 2>&1 | grep "^[a-z].*:.*: "; }
wants() { [[ " ${suites[*]} " == *" $1 "* ]]; }
# Quiet: what fails here fails again in its suite.
stage() { docker build --quiet --file "$1" "${@:2}" . >/dev/null 2>&1; }
# Of the sources, so that a commit to anything else leaves the build cache alone.
REVISION=$(git log -1 --format=%h -- src docs/errors Cargo.toml Cargo.lock 2>/dev/null || true)
export REVISION=${REVISION:-unknown}
# The compiler is busy for minutes, most of them with one processor, and the other base images come from the network:
# beside each other they take half the time. The suites find the layers and build what is left.
rust_images() {
  base rust || return
  stage docker/cdc-collector/Dockerfile --target dependencies || return
  stage docker/emulator/Dockerfile &
  local emulator=$!
  stage docker/cdc-collector/Dockerfile --target builder --build-arg "REVISION=$REVISION"
  wait "$emulator"
}
flink_images() {
  base flink && stage docker/jobmanager/Dockerfile && stage docker/taskmanager/Dockerfile
}
base debian
rust_images &
rust=$!
base mysql
if wants flink || wants health-checks || wants compose; then flink_images || true; fi
# What did not build fails again in its suite, with its output.
wait "$rust" || true
echo "images: $((SECONDS - start)) s"
# Most of this one is waiting for the engine's next look: the suites behind it need not wait as well.
waiting= waited=$(mktemp)
for suite in "${suites[@]}"; do
  began=$SECONDS
  echo "== $suite"
  case $suite in
    health-checks)
      docker/test-health-checks.sh >"$waited" 2>&1 &
      waiting=$!
      ;;
    *)
      tests/docker/"$suite".sh 2>&1 | tee "$log" || true
      count
      echo "== $suite took $((SECONDS - began)) s"
      ;;
  esac
done
if [ -n "$waiting" ]; then
  if wait "$waiting"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  echo "== health-checks"
  cat "$waited"
fi
echo "docker suite: $((SECONDS - start)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
