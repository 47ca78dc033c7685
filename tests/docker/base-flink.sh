#!/usr/bin/env bash
# Makes flink:1.20-java17 locally, for a machine without a registry; leaves one that is there alone.
#
# Flink comes from PyPI, where its release is cut in two: `apache-flink` has bin/ and conf/, `apache-flink-libraries`
# lib/, opt/ and plugins/. They are laid out as in the official image (same paths, user and addresses), on Debian's
# OpenJDK 17. What PyPI does not have, and this image therefore lacks: the SQL gateway, without which sql-client.sh
# does not start, and the example jobs.
# Needs pip and a running Docker engine; keeps what it downloads (230 MB) in DEPS_DIR.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=flink:1.20-java17 version=1.20.1
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag: found"; exit; fi
docker image inspect debian:bookworm-slim >/dev/null 2>&1 || tests/docker/base-debian.sh

wheels=${DEPS_DIR:-target/deps}/flink-$version
mkdir -p "$wheels"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
fetch() {
  local name=$1 package=$2
  shift 2
  [ -e "$wheels/$name" ] && return
  python3 -m pip download --quiet --no-deps --dest "$work" "$@" "$package==$version" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; exit 1; }
  mv "$work/$name" "$wheels/"
}
scripts=apache_flink-$version-cp311-cp311-manylinux1_x86_64.whl
libraries=apache-flink-libraries-$version.tar.gz
fetch "$scripts" apache-flink --only-binary :all: --python-version 3.11 --platform manylinux1_x86_64
fetch "$libraries" apache-flink-libraries --no-binary :all:

mkdir "$work/wheel" "$work/flink"
python3 -m zipfile -e "$wheels/$scripts" "$work/wheel"
mv "$work"/wheel/pyflink/{bin,conf} "$work/flink/"
tar -xzf "$wheels/$libraries" -C "$work/flink" --strip-components=2 "${libraries%.tar.gz}/deps"
mkdir "$work/flink/log"
chmod +x "$work"/flink/bin/*.sh "$work/flink/bin/flink"

# The official entrypoint steps down from root to flink; so does this one, as far as these images need it.
cat >"$work/docker-entrypoint.sh" <<'ENTRYPOINT'
#!/usr/bin/env bash
[ "$(id -u)" != 0 ] || exec setpriv --reuid flink --regid flink --clear-groups "$0" "$@"
case ${1:-help} in
  jobmanager | taskmanager) exec "$FLINK_HOME/bin/$1.sh" start-foreground "${@:2}" ;;
  help) echo "usage: docker-entrypoint.sh (jobmanager|taskmanager|COMMAND)" ;;
  *) exec "$@" ;;
esac
ENTRYPOINT
chmod +x "$work/docker-entrypoint.sh"

cat >"$work/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
# The JRE's post-install scripts write into /usr/share/man/man1, which slim leaves out.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless curl ca-certificates libjemalloc2 \
 && rm -rf /var/lib/apt/lists/*
ENV JAVA_HOME=/usr/lib/jvm/default FLINK_HOME=/opt/flink
ENV PATH=/opt/flink/bin:$JAVA_HOME/bin:$PATH
RUN ln -s "$(dirname "$(dirname "$(readlink -f /usr/bin/java)")")" /usr/lib/jvm/default \
 && groupadd --system --gid=9999 flink && useradd --system --home-dir /opt/flink --uid=9999 --gid=flink flink
WORKDIR /opt/flink
COPY --chown=flink:flink flink /opt/flink
RUN chown flink:flink /opt/flink \
 && sed -i -e 's/^\( *\(bind-host\|bind-address\|address\): \)localhost/\10.0.0.0/' -e '/^  host: localhost/d' conf/config.yaml
COPY docker-entrypoint.sh /
ENTRYPOINT ["/docker-entrypoint.sh"]
EXPOSE 6123 8081
CMD ["help"]
DOCKERFILE
docker build --quiet --tag "$tag" "$work" >/dev/null
echo "$tag: made from PyPI's Flink $version"
