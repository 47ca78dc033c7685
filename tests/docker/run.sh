#!/usr/bin/env bash
# Everything about the images, on a machine with a Docker engine and nothing else: installs what the suites need, makes
# base images under their official tags where they are missing, builds ours from their Dockerfiles, and runs the suites.
#
#   tests/docker/run.sh [collector] [flink] [health-checks] [compose] [kubernetes]        (no argument: all)
#
# Ends with one line that counts; exit code 1 if anything failed. Without an engine all of it counts as skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(collector flink health-checks compose kubernetes)

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
for base in debian rust mysql; do tests/docker/base-"$base".sh 2>&1 | grep "^[a-z].*:.*: " || exit 1; done
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
