#!/usr/bin/env bash
# Runs the judges: the platforms' own libraries against the emulators, the fixtures and the gateway.
#   tests/judges/run.sh [KIND|events]...     all of them without arguments
# SWITCHBOARD_BIN names the binary; without it target/debug/switchboard is built and used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ -z "${SWITCHBOARD_BIN:-}" ]]; then
    cargo build --quiet --bin switchboard
    SWITCHBOARD_BIN="${CARGO_TARGET_DIR:-target}/debug/switchboard"
fi

venv=target/judges-venv
wanted=tests/judges/requirements.txt
# Made again when the requirements change: an old library would judge by old rules.
if ! cmp --silent "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
exec "$venv/bin/python" -B tests/judges/run.py "$SWITCHBOARD_BIN" "$@"
