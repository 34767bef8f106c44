#!/usr/bin/env bash
# Makes a Python environment with the schema-driven tester of the suite `openapi`.
#
#   scripts/install-schemathesis.sh DIR
#
# Afterwards DIR/bin/schemathesis is the tester, in the versions of scripts/schemathesis.txt. A second run finds that and
# returns at once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
dir=$1
if cmp -s "$here/schemathesis.txt" "$dir/installed.txt"; then exit 0; fi
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" --quiet --disable-pip-version-check install --requirement "$here/schemathesis.txt"
cp "$here/schemathesis.txt" "$dir/installed.txt"
