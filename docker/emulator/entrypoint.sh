#!/bin/sh
# Starts the emulator with a key pair out of files, so that no key stands in a command line of the compose file.
#
#   DATAHUB_ACCESS_ID_FILE, DATAHUB_ACCESS_KEY_FILE    files with the pair that is let in
set -eu

if [ -n "${DATAHUB_ACCESS_ID_FILE:-}" ]; then set -- "$@" --access-id "$(cat "$DATAHUB_ACCESS_ID_FILE")"; fi
if [ -n "${DATAHUB_ACCESS_KEY_FILE:-}" ]; then set -- "$@" --access-key "$(cat "$DATAHUB_ACCESS_KEY_FILE")"; fi
exec datahub-emulator --listen 0.0.0.0:7070 "$@"
