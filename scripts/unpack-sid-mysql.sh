#!/usr/bin/env bash
# Unpacks MySQL 9 and the libraries it needs from Debian sid into a directory; installs nothing.
#
#   scripts/unpack-sid-mysql.sh TARGET        afterwards TARGET/mysqld runs the server
#
# Debian 12 has no MySQL, and sid's needs a newer libc. So the packages are fetched by apt into a private
# state directory (signatures checked as always, the machine's own mirror and proxy settings, its package
# database untouched) and unpacked; the server then runs with sid's own loader and libraries.
# This needs neither root nor a chroot, and about 100 MB of download.
set -euo pipefail

target=${1:?usage: unpack-sid-mysql.sh TARGET}
part=$target.part
rm -rf -- "$part" "$target"
mkdir -p -- "$part"
part=$(cd -- "$part" && pwd)
trap 'rm -rf -- "$part"' EXIT

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || { echo "$tool is needed: run this on Debian, or set MYSQLD to a MySQL server" >&2; exit 1; }
done

# The mirror of the machine's own Debian suite, without the security archive (which has no sid).
mirror=${SID_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)' 'Created-By: Packages' |
  awk -F'|' '$1 !~ /security/ && $1 ~ /debian/ { print $1; exit }')}
mirror=${mirror:-http://deb.debian.org/debian}

apt=$part/apt
mkdir -p "$apt"/{sources,state/lists/partial,cache/archives/partial}
touch "$apt/status"
cat >"$apt/sources/sid.sources" <<SOURCE
Types: deb
URIs: $mirror
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
# An empty package database makes apt fetch every library, whatever the machine has.
options=(
  -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/sources"
  -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
  -o APT::Install-Recommends=false -o Debug::NoLocking=true
)
run() { "$@" >"$apt/log" 2>&1 || { tail -n 20 "$apt/log" >&2; echo "failed: $*" >&2; exit 1; }; }
run apt-get "${options[@]}" update
run apt-get "${options[@]}" install --download-only -y mysql-server-core

for package in "$apt"/cache/archives/*.deb; do
  case ${package##*/} in
    perl* | libperl*) continue ;; # helper scripts of the server package, never run here
  esac
  dpkg-deb -x "$package" "$part"
done
rm -rf -- "$apt" "$part"/usr/share/{doc,man,locale,lintian,bug}

loader=$(cd -- "$part" && find usr/lib -name 'ld-linux-*.so.*' | head -n 1)
[ -n "$loader" ] && [ -x "$part/usr/sbin/mysqld" ] || { echo "sid's packages do not hold what was expected" >&2; exit 1; }
cat >"$part/mysqld" <<WRAPPER
#!/bin/sh
# Runs the unpacked server with its own loader, libraries and support files; exec keeps the process id.
root=\$(dirname -- "\$(readlink -f -- "\$0")")
[ "\${1-}" = --no-defaults ] && shift
exec "\$root/$loader" --library-path "\$root/${loader%/*}" "\$root/usr/sbin/mysqld" --no-defaults \\
  --basedir="\$root/usr" --lc-messages-dir="\$root/usr/share/mysql" \\
  --character-sets-dir="\$root/usr/share/mysql/charsets" --plugin-dir="\$root/usr/lib/mysql/plugin" "\$@"
WRAPPER
chmod +x "$part/mysqld"
mv -- "$part" "$target"
