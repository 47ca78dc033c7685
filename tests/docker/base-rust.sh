#!/usr/bin/env bash
# Makes the Rust image that the collector's Dockerfile names, for a machine without a registry; leaves one that is
# there alone: Debian, a C compiler, and this machine's own toolchain where the official image has it.
#
# What only this machine needs, its certificate authorities, goes into this image and never into docker/.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=$(sed -n 's/^ARG RUST_IMAGE=//p' docker/cdc-collector/Dockerfile)
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag: found"; exit; fi
tests/docker/base-debian.sh

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
version=$(rustc -vV | sed -n 's/^release: //p')
case $tag in
  rust:"${version%.*}"-*) ;;
  *) echo "base-rust.sh: $tag will hold Rust $version, which is what this machine has" >&2 ;;
esac

# Beside the toolchain, so that hard links can stand in for copies.
context=$(mktemp -d "$(dirname "$sysroot")/.base-rust.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf -- "$context"' EXIT
toolchain=$context/toolchain
mkdir -p "$toolchain/bin" "$toolchain/lib/rustlib/$host"
link() { cp -al -- "$@" 2>/dev/null || cp -a -- "$@"; }
link "$sysroot"/bin/{cargo,rustc} "$toolchain/bin/"
link "$sysroot"/lib/*.so* "$toolchain/lib/"
link "$sysroot/lib/rustlib/$host"/{bin,lib} "$toolchain/lib/rustlib/$host/"
cp /etc/ssl/certs/ca-certificates.crt "$context/"

cat >"$context/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY toolchain /usr/local/rustup/toolchains/machine
RUN mkdir -p /usr/local/cargo/bin && ln -s /usr/local/rustup/toolchains/machine/bin/* /usr/local/cargo/bin/
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
DOCKERFILE
docker build --quiet --tag "$tag" "$context" >/dev/null
echo "$tag: made with Rust $version"
