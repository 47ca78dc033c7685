#!/bin/bash
# Start-up of the local stand-in for mysql:8.4: on first use a data directory, the root password, a database, a user
# and the scripts in /docker-entrypoint-initdb.d, all before the network is opened; then the server as process 1.
set -euo pipefail

[ "${1:0:1}" != - ] || set -- mysqld "$@"
[ "$1" = mysqld ] || exec "$@"
shift

value() { # NAME: its value, or what the file NAME_FILE holds
  local file=$1_FILE
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-}"; fi
}

data=/var/lib/mysql
socket=/var/run/mysqld/mysqld.sock
server=(mysqld --datadir="$data" --socket="$socket" --pid-file=/var/run/mysqld/mysqld.pid --mysqlx=OFF
  --secure-file-priv= --user=mysql "$@")
if [ ! -d "$data/mysql" ]; then
  root=$(value MYSQL_ROOT_PASSWORD)
  chown mysql:mysql "$data"
  "${server[@]}" --initialize-insecure
  "${server[@]}" --skip-networking &
  for _ in {1..300}; do mysql -uroot --socket="$socket" -e "SELECT 1" >/dev/null 2>&1 && break; sleep 0.2; done
  sql() { mysql -uroot --socket="$socket" "$@"; }
  if [ -n "${MYSQL_DATABASE:-}" ]; then sql -e "CREATE DATABASE \`$MYSQL_DATABASE\`"; fi
  if [ -n "${MYSQL_USER:-}" ]; then
    sql -e "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$(value MYSQL_PASSWORD)'"
    if [ -n "${MYSQL_DATABASE:-}" ]; then sql -e "GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%'"; fi
  fi
  for script in /docker-entrypoint-initdb.d/*.sql; do
    if [ -e "$script" ]; then sql ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} <"$script"; fi
  done
  sql -e "ALTER USER root@localhost IDENTIFIED BY '$root'; CREATE USER root@'%' IDENTIFIED BY '$root'; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION"
  mysql -uroot -p"$root" --socket="$socket" -e SHUTDOWN
  wait
fi
exec "${server[@]}"
