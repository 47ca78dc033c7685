#!/usr/bin/env bash
# Makes debian:bookworm-slim locally, for a machine without a registry; leaves one that is there alone.
#
# The packages come from the machine's own Debian mirror (DEBIAN_MIRROR names another), their signatures are checked
# as always. What only this machine needs, its apt settings, goes into this image and never into docker/.
# Needs root (debootstrap) and a running Docker engine.
set -euo pipefail

tag=debian:bookworm-slim
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag: found"; exit; fi

command -v debootstrap >/dev/null ||
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >/dev/null

mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)' 'Created-By: Packages' |
  awk -F'|' '$1 !~ /security/ && $1 ~ /debian/ { print $1; exit }')}
mirror=${mirror:-http://deb.debian.org/debian}

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
root=$work/root
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }

# What the official slim image leaves out, now and from every package installed later.
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'DPKG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
DPKG
rm -rf "$root"/usr/share/{man,info,locale,lintian}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
find "$root/usr/share/doc" -type f ! -name copyright -delete

# How this machine reaches its mirror.
apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|http|https|Retries)' >"$root/etc/apt/apt.conf.d/90-machine" || true
printf 'APT::Sandbox::User "root";\n' >>"$root/etc/apt/apt.conf.d/90-machine"

tar -C "$root" --numeric-owner --sort=name -c . |
  docker import --change 'CMD ["bash"]' --message 'debootstrap of bookworm, minbase' - "$tag" >/dev/null
echo "$tag: made from $mirror"
