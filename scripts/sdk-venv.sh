#!/bin/sh
# Makes a Python environment with the official DataHub SDK, for the tests that let it talk to the emulator.
#
#   scripts/sdk-venv.sh [directory]        (target/venv by default)
#
# Some of its dependencies come as source and are compiled: python3-venv, python3-dev and a C compiler are needed.
set -eu

cd "$(dirname "$0")/.."
venv=${1:-target/venv}

if ! "$venv/bin/python" -c 'import datahub' 2>/dev/null; then
    python3 -m venv --clear "$venv"
    # The versions that were seen to build and import on Python 3.11; the SDK itself only gives lower bounds.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        pydatahub==2.29.0 cprotobuf==0.1.12 atomic==0.7.3 crcmod==1.7 rwlock==0.0.7 funcsigs==1.0.2 \
        lz4==4.4.5 requests==2.34.2 urllib3==2.8.0 simplejson==4.3.0 six==1.17.0
fi
"$venv/bin/python" -c 'import datahub; print("pydatahub", datahub.__version__)'
