# Sourced by the test scripts of this directory: checks that count themselves, and containers that are removed at the
# end whatever happens. Each script ends with `summary`.

passed=0 failed=0 skipped=0
label=cdc-test=$$
network=cdc-test-$$
work=$(mktemp -d)

cleanup() {
  local left
  left=$(docker ps --all --quiet --filter "label=$label")
  # shellcheck disable=SC2086 # one word for each container
  [ -z "$left" ] || docker rm --force --volumes $left >/dev/null 2>&1 || true
  docker network rm "$network" >/dev/null 2>&1 || true
  rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# check NAME COMMAND…: the command must succeed; its output is shown only if it does not.
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$work/check.log" 2>&1; then
    passed=$((passed + 1))
    printf '  ok      %-66s %3ds\n' "$name" $((SECONDS - start))
  else
    failed=$((failed + 1))
    printf '  FAILED  %-66s %3ds\n' "$name" $((SECONDS - start))
    tail -n 40 "$work/check.log" | sed 's/^/          /'
  fi
}

skip() { # NAME REASON
  skipped=$((skipped + 1))
  printf '  SKIPPED %s: %s\n' "$1" "$2"
}

summary() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
}

# eventually SECONDS COMMAND…: until the command succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >"$work/eventually.log" 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "never succeeded: $*"
      tail -n 20 "$work/eventually.log"
      return 1
    fi
    sleep 0.3
  done
}

equal() { # WANTED SEEN
  [ "$1" = "$2" ] || { printf 'wanted: %s\nseen:   %s\n' "$1" "$2"; return 1; }
}

contains() { # TEXT PART…
  local text=$1 part
  shift
  for part in "$@"; do
    case $text in *"$part"*) ;; *) printf 'no "%s" in:\n%s\n' "$part" "$text"; return 1 ;; esac
  done
}

lacks() { # TEXT PART…
  local text=$1 part
  shift
  for part in "$@"; do
    case $text in *"$part"*) printf '"%s" is in:\n%s\n' "$part" "$text"; return 1 ;; esac
  done
}

inspect() { docker inspect --format "$2" "$1"; } # CONTAINER-OR-IMAGE TEMPLATE
health_is() { equal "$2" "$(inspect "$1" '{{.State.Health.Status}}')"; }
address() { inspect "$1" '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'; }

# milliseconds COMMAND…: how long it takes; fails if it does.
milliseconds() {
  local start
  start=$(date +%s%3N)
  "$@" >&2 || return
  echo $(($(date +%s%3N) - start))
}

# build DOCKERFILE TAG [OPTION…]: from the root of the repository, the Dockerfile as it stands.
build() {
  local file=$1 tag=$2 start=$SECONDS
  shift 2
  if [ -n "${SKIP_BUILD:-}" ]; then return; fi
  if ! docker build --file "$file" --tag "$tag" "$@" . >"$work/build.log" 2>&1; then
    tail -n 40 "$work/build.log"
    return 1
  fi
  printf '          %s: %s MB, built in %d s\n' "$tag" "$(size_mb "$tag")" $((SECONDS - start)) >&"$console"
}

size_mb() { echo $(($(inspect "$1" '{{.Size}}') / 1000000)); }

# What a check prints to be read even if it succeeds goes here.
exec {console}>&1

docker network create --label "$label" "$network" >/dev/null
