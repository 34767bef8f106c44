#!/usr/bin/env bash
# A whole wallet cluster on this machine: installs the build tools that are missing, builds, and runs `cargo devnet`.
# Arguments are passed on; `scripts/devnet.sh --help` lists them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# g++ builds libbitcoinconsensus, cc builds SQLite and ring, openssl makes the certificates.
require_programs cc:gcc g++:g++ openssl:openssl
require_cargo
exec cargo devnet "$@"
