#!/usr/bin/env bash
# Installs what the tests and the demo need beyond Rust; what is already there is left alone.
#
#   scripts/install-test-deps.sh [build] [tools] [mariadb] [mysql] [seekdb] [sdk] [flink] [deny] [faketime] [containers]
#                                                              (no argument: all but build and containers)
#
# build    C compiler, CA certificates, curl: what building and looking need    Debian packages
# tools    C compiler, curl, openssl, CA certificates, Python with venv         Debian packages
# mariadb  MariaDB server; no service is enabled or left running                Debian packages
# mysql    MySQL 9 from Debian sid, unpacked beside the build, never installed  $DEPS_DIR/sid
# seekdb   an OceanBase engine, from the wheel pylibseekdb                      $DEPS_DIR/seekdb
# sdk      the official DataHub Python SDK, by scripts/sdk-venv.sh              target/venv
# flink    Flink's jars from the package apache-flink-libraries; a JDK            $DEPS_DIR/flink, Debian packages
# containers  what tests/docker/ needs beside the engine: debootstrap, jq, docker-compose 1.29, a Java compiler
#          (Debian packages); Compose v2 and promtool, unpacked                  $DEPS_DIR
# faketime libfaketime: a process with a clock of its own                       Debian package
# deny     cargo-deny, which checks licences and sources of dependencies        $DEPS_DIR/tools
#
# Environment: DEPS_DIR (target/deps), MYSQLD (a MySQL server to use instead of the one from sid),
#              SID_MIRROR (the machine's own Debian mirror), SEEKDB_VERSION, FLINK_VERSION, DENY_VERSION.
# Only the Debian packages need root; without it, sudo is used. Nothing comes from anywhere but the
# machine's Debian mirror, its Python package index and crates.io.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname -- "$here")
DEPS_DIR=${DEPS_DIR:-$repo/target/deps}
SEEKDB_VERSION=${SEEKDB_VERSION:-1.4.0.post1}
FLINK_VERSION=${FLINK_VERSION:-1.20.1}
DENY_VERSION=${DENY_VERSION:-0.20.2}
items=("$@")
[ ${#items[@]} -gt 0 ] || items=(tools mariadb mysql seekdb sdk flink deny faketime)

say() { printf '%-8s %-10s %s\n' "$1" "$2" "$3"; }
fail() { printf 'install-test-deps.sh: %s\n' "$*" >&2; exit 1; }

# Runs a long command silently; its output appears only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then rm -f "$log"; return 0; fi
  printf '%s failed:\n' "$*" >&2
  tail -n 30 "$log" >&2
  rm -f "$log"
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || fail "root is needed to install Debian packages: run as root, or install sudo"
  sudo -n true 2>/dev/null || echo "sudo may ask for your password" >&2
  sudo "$@"
}

# The index is read once, and only if something is to be installed.
apt_updated=no
apt_install() {
  command -v apt-get >/dev/null || fail "this needs apt (Debian 12 or later); install these yourself: $*"
  local wait=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  if [ "$apt_updated" = no ]; then
    quietly as_root apt-get "${wait[@]}" update
    apt_updated=yes
  fi
  quietly as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get "${wait[@]}" install -y --no-install-recommends "$@"
}

has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

install_build() {
  local wanted=()
  has cc || wanted+=(gcc libc6-dev)
  has curl || wanted+=(curl)
  [ -s /etc/ssl/certs/ca-certificates.crt ] || wanted+=(ca-certificates)
  if [ ${#wanted[@]} -eq 0 ]; then say build found "$(command -v cc)"; return; fi
  apt_install "${wanted[@]}"
  say build installed "${wanted[*]}"
}

install_tools() {
  local wanted=()
  has cc || wanted+=(gcc libc6-dev)
  has make || wanted+=(make)
  has curl || wanted+=(curl)
  has openssl || wanted+=(openssl)
  [ -s /etc/ssl/certs/ca-certificates.crt ] || wanted+=(ca-certificates)
  [ -s /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted+=(debian-archive-keyring)
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then wanted+=(python3 python3-venv); fi
  if [ ${#wanted[@]} -eq 0 ]; then say tools found "$(command -v cc curl python3 | xargs)"; return; fi
  apt_install "${wanted[@]}"
  say tools installed "${wanted[*]}"
}

# The -core packages have no service and no configuration: nothing starts, nothing is enabled.
install_mariadb() {
  local state=found
  if ! has mariadbd || ! has mariadb-install-db || ! has my_print_defaults; then
    apt_install mariadb-server-core mariadb-client-core
    state=installed
  fi
  local version
  version=$(PATH=$PATH:/usr/sbin mariadbd --no-defaults --version)
  say mariadb "$state" "$version"
}

install_mysql() {
  if [ -n "${MYSQLD:-}" ]; then
    [ -x "$MYSQLD" ] || fail "MYSQLD=$MYSQLD is not an executable file"
    say mysql found "$MYSQLD (from MYSQLD)"
    return
  fi
  local state=found
  if [ ! -x "$DEPS_DIR/sid/mysqld" ]; then
    "$here/unpack-sid-mysql.sh" "$DEPS_DIR/sid"
    state=installed
  fi
  local version
  version=$("$DEPS_DIR/sid/mysqld" --version) || fail "$DEPS_DIR/sid/mysqld does not run; remove $DEPS_DIR/sid and try again"
  say mysql "$state" "$version"
}

# pip of the machine where it has one; else that of a small environment of our own.
pip() {
  if python3 -m pip --version >/dev/null 2>&1; then python3 -m pip "$@"; return; fi
  [ -x "$DEPS_DIR/pip/bin/pip" ] || python3 -m venv "$DEPS_DIR/pip"
  "$DEPS_DIR/pip/bin/pip" "$@"
}

install_seekdb() {
  local target=$DEPS_DIR/seekdb
  if [ -x "$target/pylibseekdb/seekdb" ]; then say seekdb found "$target"; return; fi
  local part=$target.part
  rm -rf -- "$part" "$target"
  mkdir -p -- "$part"
  # The interpreter's version does not matter, only the executable inside is used: ask for one that exists.
  if ! quietly pip download --disable-pip-version-check --quiet --no-deps --only-binary=:all: \
    --python-version 3.11 --platform "manylinux_2_28_$(uname -m)" \
    --dest "$part" "pylibseekdb==$SEEKDB_VERSION"; then
    rm -rf -- "$part"
    # Optional: the wheel exists for few platforms. Its tests say that they were skipped.
    say seekdb missing "no wheel pylibseekdb $SEEKDB_VERSION for $(uname -m); tests against OceanBase's engine will be skipped"
    return
  fi
  (cd -- "$part" && python3 -m zipfile -e ./*.whl . && rm -f ./*.whl)
  chmod +x "$part/pylibseekdb/seekdb"
  mv -- "$part" "$target"
  say seekdb installed "$target"
}

install_sdk() {
  local state=installed venv=$repo/target/venv
  if "$venv/bin/python" -c 'import datahub' 2>/dev/null; then
    state=found
  elif ! python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; then
    # Some of the SDK's dependencies are compiled.
    apt_install python3-dev
  fi
  quietly "$here/sdk-venv.sh" "$venv"
  say sdk "$state" "pydatahub in $venv"
}

# Flink's own formats decode what was relayed. The archive is kept: tests/docker/base-flink.sh makes an image of it.
install_flink() {
  local state=found target=$DEPS_DIR/flink archives=$DEPS_DIR/flink-$FLINK_VERSION
  local archive=$archives/apache-flink-libraries-$FLINK_VERSION.tar.gz part=$DEPS_DIR/flink.part
  if ! has javac; then
    apt_install default-jdk-headless
    state=installed
  fi
  if [ ! -e "$target/lib/flink-json-$FLINK_VERSION.jar" ]; then
    rm -rf -- "$part" "$target"
    mkdir -p -- "$part" "$archives"
    if [ ! -e "$archive" ]; then
      if ! quietly pip download --disable-pip-version-check --quiet --no-deps --no-binary=:all: \
        --dest "$part" "apache-flink-libraries==$FLINK_VERSION"; then
        rm -rf -- "$part"
        say flink missing "no package apache-flink-libraries $FLINK_VERSION; the tests with Flink will be skipped"
        return
      fi
      mv -- "$part/${archive##*/}" "$archive"
    fi
    tar -xzf "$archive" -C "$part" --strip-components=2 "apache-flink-libraries-$FLINK_VERSION/deps/lib"
    mv -- "$part" "$target"
    state=installed
  fi
  say flink "$state" "Flink $FLINK_VERSION in $target"
}

install_deny() {
  local tool=$DEPS_DIR/tools/bin/cargo-deny state=found
  if [ ! -x "$tool" ]; then
    quietly cargo install cargo-deny --version "$DENY_VERSION" --locked --root "$DEPS_DIR/tools"
    state=installed
  fi
  say deny "$state" "$("$tool" --version)"
}

install_faketime() {
  local state=found libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
  if [ ! -e "${libraries[0]}" ]; then
    apt_install libfaketime
    libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
    state=installed
  fi
  say faketime "$state" "${libraries[0]}"
}

install_containers() {
  local wanted=() state=found
  has debootstrap || wanted+=(debootstrap)
  has jq || wanted+=(jq)
  has docker-compose || wanted+=(docker-compose)
  has javac || wanted+=(openjdk-17-jdk-headless)
  if [ ${#wanted[@]} -gt 0 ]; then apt_install "${wanted[@]}"; state=installed; fi
  # Debian 12 has the first Compose, the next one has the second. Both are one Go program each, and run anywhere.
  unpack_program trixie docker-compose usr/libexec/docker/cli-plugins/docker-compose compose-v2
  # The package itself would install and start a service.
  unpack_program bookworm prometheus usr/bin/promtool promtool
  say containers "$state" "$("$DEPS_DIR/compose-v2" version)"
}

# One program out of a Debian package, without installing the package.
unpack_program() { # SUITE PACKAGE PATH NAME
  local part=$DEPS_DIR/$4.part
  if [ -x "$DEPS_DIR/$4" ]; then return; fi
  rm -rf -- "$part"
  "$here/fetch-debian.sh" "$1" "$part" "$2"
  dpkg-deb -x "$part/$2"_*.deb "$part"
  mv -- "$part/$3" "$DEPS_DIR/$4"
  rm -rf -- "$part"
}

mkdir -p -- "$DEPS_DIR"
DEPS_DIR=$(cd -- "$DEPS_DIR" && pwd)
# Two runs at once (two test commands, say) take turns; the second finds everything there.
exec 9>"$DEPS_DIR/.lock"
flock 9
for item in "${items[@]}"; do
  case $item in
    build | tools | mariadb | mysql | seekdb | sdk | flink | deny | faketime | containers) "install_$item" ;;
    *) fail "unknown item \"$item\"; one of: build tools mariadb mysql seekdb sdk flink deny faketime containers" ;;
  esac
done
