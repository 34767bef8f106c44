#!/usr/bin/env bash
# The simulator's part of the tests: stories, determinism across builds and processes, planted bugs, rare situations, and a
# sweep that is new with every commit. Honours CARGO_TARGET_DIR. Ends with the first failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# A commit names seeds that nobody has run before; without git, the day does.
seed=$(git rev-parse HEAD 2>/dev/null || date -u +%Y%m%d)
target=${CARGO_TARGET_DIR:-target}
sim() { "$target/sim/mpc-wallet-sim" "$@"; }

step() { printf '\n== %s\n' "$*"; }

step "the simulator, optimised and with every check"
require_builders
require_cargo
cargo build --locked --profile sim --package mpc-wallet-sim --features mutants

step "stories, in both lanes"
sim stories
sim stories --lane turmoil

step "one plan, one run: in two processes, and in a build without optimisation"
sim meta --seed "$seed"
sim meta --seed "$seed" --lane turmoil --profile crashy
# As scripts/test.sh builds it for the tests: with another choice of packages the features differ, and all is compiled again.
cargo test --locked --workspace --exclude mpc-wallet-e2e --features mpc-wallet-shell/otel --test hosted --no-run
sim meta --seed "$seed" --with "$target/debug/mpc-wallet-sim"

step "planted bugs"
sim mutants

step "rare situations"
sim coverage

step "seeds of this commit"
sim sweep --from "$seed" --count 1200 --all
