#!/usr/bin/env bash
# Downloads packages of another Debian suite; installs nothing.
#
#   scripts/fetch-debian.sh SUITE DIRECTORY PACKAGE…             the packages alone
#   scripts/fetch-debian.sh --all SUITE DIRECTORY PACKAGE…       with everything they depend on
#
# apt works in a private state directory: signatures are checked as always, the mirror and proxy settings are the
# machine's own, its package database is untouched. Needs no root.
set -euo pipefail

all=no
if [ "${1-}" = --all ]; then all=yes && shift; fi
suite=${1:?usage: fetch-debian.sh [--all] SUITE DIRECTORY PACKAGE…} directory=${2:?a directory is needed}
shift 2
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || { echo "$tool is needed: run this on Debian" >&2; exit 1; }
done
mkdir -p -- "$directory"
directory=$(cd -- "$directory" && pwd)
apt=$(mktemp -d)
trap 'rm -rf -- "$apt"' EXIT

# The mirror of the machine's own suite, without the security archive (which has no other suite).
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)' 'Created-By: Packages' |
  awk -F'|' '$1 !~ /security/ && $1 ~ /debian/ { print $1; exit }')}
mirror=${mirror:-http://deb.debian.org/debian}

mkdir -p "$apt"/{sources,state/lists/partial,cache/archives/partial}
touch "$apt/status"
cat >"$apt/sources/$suite.sources" <<SOURCE
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
# An empty package database makes apt fetch every library, whatever the machine has. A mirror may be a frozen
# copy whose index says that it has expired: its signature is checked all the same.
options=(
  -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/sources"
  -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
  -o APT::Install-Recommends=false -o Debug::NoLocking=true
)
run() { "$@" >"$apt/log" 2>&1 || { tail -n 20 "$apt/log" >&2; echo "failed: $*" >&2; exit 1; }; }
run apt-get "${options[@]}" update
if [ "$all" = yes ]; then
  run apt-get "${options[@]}" install --download-only -y "$@"
  mv -- "$apt"/cache/archives/*.deb "$directory"
else
  cd -- "$directory"
  run apt-get "${options[@]}" download "$@"
fi
