#!/usr/bin/env bash
# Makes mysql:8.4 locally, for a machine without a registry; leaves one that is there alone.
#
# Inside is the MySQL that the other tests use (9, from Debian sid), with as much of the official image's start-up as
# docker-compose.yml relies on. What is tested with it is our compose file, not MySQL.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=mysql:8.4
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag: found"; exit; fi
tests/docker/base-debian.sh
scripts/install-test-deps.sh mysql >/dev/null
deps=${DEPS_DIR:-target/deps}

context=$(mktemp -d "$deps/.base-mysql.XXXXXX")
trap 'rm -rf -- "$context"' EXIT
cp -al "$deps/sid" "$context/sid"
cp tests/docker/mysql-entrypoint.sh "$context/docker-entrypoint.sh"
cat >"$context/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends mariadb-client-core && rm -rf /var/lib/apt/lists/* \
 && ln -sf mariadb /usr/bin/mysql \
 && groupadd --system --gid 999 mysql && useradd --system --uid 999 --gid 999 --home-dir /var/lib/mysql mysql \
 && install -d -o mysql -g mysql /var/lib/mysql /var/run/mysqld && mkdir /docker-entrypoint-initdb.d
COPY sid /opt/mysql
COPY docker-entrypoint.sh /usr/local/bin/
RUN ln -s /opt/mysql/mysqld /usr/local/bin/mysqld
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mysqld"]
DOCKERFILE
docker build --quiet --tag "$tag" "$context" >/dev/null
echo "$tag: made with $("$deps/sid/mysqld" --version | sed 's/.*Ver //')"
