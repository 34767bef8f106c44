#!/usr/bin/env bash
# Everything that has to hold: format, lints, unit and property tests, simulator, and the suites on real processes.
# Installs what is missing (Debian). Honours CARGO_TARGET_DIR. Ends with the first failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

step() { printf '\n== %s\n' "$*"; }

step "tools"
require_builders
# Debian keeps PostgreSQL's server programs out of PATH, a folder for each version.
require_programs openssl:openssl '/usr/lib/postgresql/*/bin/initdb:postgresql'
require_etcd
require_prometheus
# A browser for the dashboard's suite.
require_programs chromium:chromium chromedriver:chromium-driver
# A tester for the API's, and what Debian's Python lacks to install it.
require_programs python3:python3
python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
schemathesis=${XDG_CACHE_HOME:-$HOME/.cache}/mpc-wallet/schemathesis
scripts/install-schemathesis.sh "$schemathesis"
export MPC_WALLET_SCHEMATHESIS=$schemathesis/bin/schemathesis
require_cargo

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --features mpc-wallet-shell/otel --locked -- -D warnings

step "unit, property and simulator tests"
# With what is off by default, too; the suites below run what is built by default.
cargo test --workspace --exclude mpc-wallet-e2e --features mpc-wallet-shell/otel --locked

scripts/simulate.sh

step "threshold ECDSA on GMP, the other big numbers"
require_programs m4:m4 make:make
# GMP computes, and it is optimised: to optimise ours takes longer than to run it.
cargo test --locked -p mpc-wallet-core --no-default-features --features gmp --lib --test cluster \
    --config 'profile.dev.package.mpc-wallet-core.opt-level = 0'

step "fuzz targets, on every input that is kept"
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} cargo test --locked --manifest-path fuzz/Cargo.toml

step "a real node for the suites' chain"
if [ -n "${MPC_WALLET_BITCOIND_DIR:-}" ]; then
    echo "MPC_WALLET_BITCOIND_DIR is set: $MPC_WALLET_BITCOIND_DIR"
else
    dir=${XDG_CACHE_HOME:-$HOME/.cache}/mpc-wallet/bitcoind
    if scripts/install-bitcoind.sh "$dir"; then
        export MPC_WALLET_BITCOIND_DIR=$dir
    else
        echo "no real node here: the suites run on the embedded chain"
    fi
fi

step "server"
# With the features that the suites' own build has, so that nothing is compiled twice.
cargo build --locked -p mpc-wallet-shell -p mpc-wallet-e2e --bins --no-default-features --features mpc-wallet-e2e/default

# Each test runs a cluster of five processes: two at a time keep their deadlines on a small machine.
step "suites on real processes"
exec cargo test --locked -p mpc-wallet-e2e -- --test-threads=2
