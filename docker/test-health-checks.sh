#!/usr/bin/env bash
# Shows that the images are healthy, and come back after a crash, on the engine at hand.
#
#   docker/test-health-checks.sh [cdc-collector] [jobmanager] [taskmanager]        (no argument: all three)
#
# For each image: takes it, or builds it if it is missing; starts it with --restart=unless-stopped; waits until its
# health check says healthy; asks its endpoints; kills its main process with SIGKILL from inside; and measures the time
# until it is healthy again. Prints a table; exit code 1 if anything was missed. Containers have names and a network of
# their own, ports are free ones, and everything is removed at the end.
#
# The collector gets a database and a DataHub that do not exist: being alive must not depend on them.
#
# Environment: TAG (1.0.0), START_LIMIT (60 s), RETURN_LIMIT (66 s).
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${TAG:-1.0.0}
start_limit=${START_LIMIT:-60}
return_limit=${RETURN_LIMIT:-66}
run=health-check-$$
images=("$@")
[ ${#images[@]} -gt 0 ] || images=(cdc-collector jobmanager taskmanager)

command -v docker >/dev/null || { echo "docker is needed" >&2; exit 1; }
docker info >/dev/null 2>&1 || { echo "no Docker engine answers; is it running, and may $(id -un) use it?" >&2; exit 1; }

clean_up() {
  local left
  left=$(docker ps --all --quiet --filter "label=$run")
  # shellcheck disable=SC2086 # one word for each container
  [ -z "$left" ] || docker rm --force --volumes $left >/dev/null 2>&1 || true
  docker network rm "$run" >/dev/null 2>&1 || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

rows=() missed=0
row() { # RESULT IMAGE WHAT DETAIL
  rows+=("$(printf '%-6s %-14s %-30s %s' "$1" "$2" "$3" "$4")")
  [ "$1" = ok ] || missed=$((missed + 1))
  printf '%s\n' "${rows[-1]}"
}

options() { # IMAGE: what `docker run` needs beside the name
  case $1 in
    cdc-collector)
      printf '%s\n' --env DATABASE_HOST=database.invalid --env DATAHUB_ENDPOINT=http://datahub.invalid \
        --env DATAHUB_ACCESS_ID=none --env DATAHUB_ACCESS_KEY=none --publish 127.0.0.1::8080
      ;;
    jobmanager) printf '%s\n' --env JOB_MANAGER_RPC_ADDRESS=jobmanager --publish 127.0.0.1::8081 --publish 127.0.0.1::9249 ;;
    taskmanager) printf '%s\n' --env JOB_MANAGER_RPC_ADDRESS=jobmanager --publish 127.0.0.1::9249 ;;
  esac
}
endpoints() { # IMAGE: port and path of each
  case $1 in
    cdc-collector) printf '%s\n' '8080 /health' '8080 /health/live' '8080 /metrics' ;;
    jobmanager) printf '%s\n' '8081 /overview' '8081 /jobmanager/config' '9249 /metrics' ;;
    taskmanager) printf '%s\n' '9249 /metrics' ;;
  esac
}
process() { case $1 in cdc-collector) echo cdc-collector ;; *) echo java ;; esac; }

state() { docker inspect --format "$2" "$run-$1" 2>/dev/null; }
healthy() { [ "$(state "$1" '{{.State.Running}} {{.State.Health.Status}}')" = 'true healthy' ]; }
healthy_again() { [ "$(state "$1" '{{.State.StartedAt}}')" != "${started[$1]}" ] && healthy "$1"; }

# within SECONDS SINCE COMMAND…: prints how many seconds after SINCE it succeeded, or fails.
within() {
  local limit=$1 since=$2
  shift 2
  until "$@"; do
    [ $((SECONDS - since)) -lt "$limit" ] || return 1
    sleep 0.5
  done
  echo $((SECONDS - since))
}

explain() { # IMAGE: why it did not get there, for a person
  docker inspect --format '{{range .State.Health.Log}}{{.Output}}{{end}}' "$run-$1" 2>/dev/null | tail -n 3
  docker logs --tail 10 "$run-$1" 2>&1
}

docker network create --label "$run" "$run" >/dev/null
declare -A launched started killed

for image in "${images[@]}"; do
  case $image in
    cdc-collector | jobmanager | taskmanager) ;;
    *) echo "no image \"$image\"; one of: cdc-collector jobmanager taskmanager" >&2; exit 2 ;;
  esac
  name=realtime-pipeline/$image:$tag
  if ! docker image inspect "$name" >/dev/null 2>&1; then
    echo "building $name …"
    if ! log=$(docker build --file "docker/$image/Dockerfile" --tag "$name" . 2>&1); then
      tail -n 15 <<<"$log"
      row MISSED "$image" image "it is not there and does not build"
      continue
    fi
  fi
  mapfile -t more < <(options "$image")
  if ! docker run --detach --name "$run-$image" --label "$run" --network "$run" --network-alias "$image" \
    --restart=unless-stopped "${more[@]}" "$name" >/dev/null; then
    row MISSED "$image" start "docker run failed"
    continue
  fi
  launched[$image]=$SECONDS
done

# All of them at once: most of the time is waiting for the next look of the health check.
for image in "${!launched[@]}"; do
  if took=$(within "$start_limit" "${launched[$image]}" healthy "$image"); then
    row ok "$image" "healthy after the start" "$took s (limit $start_limit s)"
  else
    explain "$image"
    row MISSED "$image" "healthy after the start" "not within $start_limit s"
    unset "launched[$image]"
  fi
done

# A process can be alive before all its ports are open: they have the rest of the start's time.
answers() { # IMAGE PORT PATH: what it answered is in $answer
  local address
  address=$(docker port "$run-$1" "$2/tcp" | sed -n 1p)
  answer=$(curl -fsS --max-time 10 "http://$address$3" 2>&1)
}
for image in "${!launched[@]}"; do
  while read -r port path; do
    if within "$start_limit" "${launched[$image]}" answers "$image" "$port" "$path" >/dev/null; then
      row ok "$image" ":$port$path" "$(head -c 70 <<<"$answer" | tr '\n' ' ')"
    else
      row MISSED "$image" ":$port$path" "$answer"
    fi
  done < <(endpoints "$image")
done

for image in "${!launched[@]}"; do
  started[$image]=$(state "$image" '{{.State.StartedAt}}')
  killed[$image]=$SECONDS
  docker exec "$run-$image" pkill -9 "$(process "$image")" || true # the exec may end with its container
done
for image in "${!killed[@]}"; do
  if took=$(within "$return_limit" "${killed[$image]}" healthy_again "$image"); then
    row ok "$image" "healthy again after kill -9" "$took s (limit $return_limit s)"
  else
    explain "$image"
    row MISSED "$image" "healthy again after kill -9" "not within $return_limit s"
  fi
done

echo
printf '%-6s %-14s %-30s %s\n' RESULT IMAGE WHAT DETAIL
printf '%s\n' "${rows[@]}" | sort -s -k2,2
echo
if [ "$missed" -gt 0 ]; then echo "$missed missed"; exit 1; fi
echo "all passed"
