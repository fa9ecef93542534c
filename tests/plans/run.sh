#!/bin/sh
# How PostgreSQL goes about every statement of the store with five million messages.
#
# First the store's suite runs and writes down each statement that it has PostgreSQL run; then a server
# of its own is filled (fill.sql) and each of them explained: as the planner would have it of its own
# accord, and with the settings of the service's sessions. Fails on a statement that reads all of a table
# that grows, or that is too dear. Needs PostgreSQL's programs, 8 GB in $TMPDIR and some minutes.
set -eu
cd "$(dirname "$0")/../.."
SWITCHBOARD_STATEMENTS=$(mktemp)
export SWITCHBOARD_STATEMENTS
trap 'rm -f "$SWITCHBOARD_STATEMENTS"' EXIT
cargo test -q -p switchboard --lib store::suite::on_postgres
cargo test -p switchboard --lib store::plans::tests::five_million -- --ignored --nocapture
