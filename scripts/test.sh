#!/usr/bin/env bash
# Passes all tests on a fresh Debian machine with Rust: installs what they need, then checks format, lints,
# documentation and dependencies, runs every test against real servers, then the demo in its short form, and where a
# Docker engine answers builds and tests the images.
# Needs root or sudo for the packages. Ends with one line that counts what passed, failed and was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=never
log=target/test-logs
mkdir -p "$log"
passed=0 failed=0 skipped=0 failures=()

# Runs one step, shows its output only when it fails, and keeps the log.
step() {
  local name=$1 start=$SECONDS
  shift
  printf '== %-28s' "$name"
  if "$@" >"$log/$name.log" 2>&1; then
    printf ' ok      %4ds\n' $((SECONDS - start))
  else
    printf ' FAILED  %4ds\n' $((SECONDS - start))
    tail -n 200 "$log/$name.log"
    # A test that failed said why long before the end.
    grep -E -A 8 "^thread .* panicked at (src|tests|crates|fuzz)/" "$log/$name.log" | head -n 100 || true
    failures+=("$name")
  fi
}

# Adds up the results that cargo printed in a step's log, and lists what was skipped and why.
count() {
  local file=$1 line
  while read -r line; do
    [[ $line =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]] || continue
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + BASH_REMATCH[3]))
  done < <(grep '^test result:' "$file" || true)
  # `test name ... ignored, why`: counted above, named here.
  grep -oE '^test .* \.\.\. ignored.*' "$file" | sed 's/^/   /' || true
  while read -r line; do
    printf '   %s\n' "$line"
    skipped=$((skipped + 1))
    passed=$((passed - 1)) # the test that printed it counted as passed
  done < <(grep -o 'SKIPPED .*' "$file" || true)
}

# Adds the count that a suite's last line gives, and lists what it skipped and why.
count_suite() {
  local last
  grep -o 'SKIPPED .*' "$1" | sed 's/^/   /' || true
  last=$(tail -n 1 "$1")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + BASH_REMATCH[3]))
  fi
}

step dependencies scripts/install-test-deps.sh
step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
step doc env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
step deny "${DEPS_DIR:-target/deps}/tools/bin/cargo-deny" check bans licenses sources
step build cargo build --workspace --bins --locked
# Each parser is fuzzed for a minute.
export FUZZ_SECONDS="${FUZZ_SECONDS:-60}"
step tests cargo test --workspace --locked -- --test-threads "${TEST_THREADS:-2}" --nocapture
count "$log/tests.log"
step demo env DEMO_ROWS="${DEMO_ROWS:-20000}" scripts/demo.sh
step containers tests/docker/run.sh
count_suite "$log/containers.log"

echo
if [ ${#failures[@]} -gt 0 ]; then
  printf 'failed steps: %s (logs in %s)\n' "${failures[*]}" "$log"
  [ "$failed" -gt 0 ] || failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ ${#failures[@]} -eq 0 ]
