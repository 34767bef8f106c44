#!/usr/bin/env bash
# A whole wallet cluster on this machine: installs the build tools that are missing, builds, and runs `cargo devnet`.
# Arguments are passed on; `scripts/devnet.sh --help` lists them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# openssl makes the certificates.
require_builders
require_programs openssl:openssl
require_cargo
exec cargo devnet "$@"
