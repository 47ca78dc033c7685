#!/usr/bin/env bash
# Unpacks MySQL 9 and the libraries it needs from Debian sid into a directory; installs nothing.
#
#   scripts/unpack-sid-mysql.sh TARGET        afterwards TARGET/mysqld runs the server
#
# Debian 12 has no MySQL, and sid's needs a newer libc. So the packages are fetched with their libraries and unpacked;
# the server then runs with sid's own loader. This needs neither root nor a chroot, and about 100 MB of download.
set -euo pipefail

target=${1:?usage: unpack-sid-mysql.sh TARGET}
part=$target.part
rm -rf -- "$part" "$target"
mkdir -p -- "$part"
part=$(cd -- "$part" && pwd)
trap 'rm -rf -- "$part"' EXIT

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
DEBIAN_MIRROR=${SID_MIRROR:-} "$here/fetch-debian.sh" --all sid "$part/packages" mysql-server-core

for package in "$part"/packages/*.deb; do
  case ${package##*/} in
    perl* | libperl*) continue ;; # helper scripts of the server package, never run here
  esac
  dpkg-deb -x "$package" "$part"
done
rm -rf -- "$part/packages" "$part"/usr/share/{doc,man,locale,lintian,bug}

loader=$(cd -- "$part" && find usr/lib -name 'ld-linux-*.so.*' -print -quit)
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
