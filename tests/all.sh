#!/usr/bin/env bash
# Everything that is tested, in the order in which it fails fastest. CI runs this and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
step cargo test --workspace
export RUSTDOCFLAGS="-D warnings"
step cargo doc --workspace --no-deps
step tests/judges/run.sh
