#!/usr/bin/env bash
# Runs every test: `npm test`. The suites that use a container engine run beside the others, each half with a data folder of its own, for
# both spend most of their time waiting. With arguments it is `vitest run`: one half after the other, in one data folder.
#
#     scripts/test.sh [vitest arguments]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bash scripts/setup.sh --test || exit
PATH=$PWD/node_modules/.bin:$PWD/node_modules/node/bin:$PATH

if [ $# -gt 0 ]; then
  exec vitest run "$@"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
PADDOCK_TEST_LANE=engine vitest run --project engine >"$log" 2>&1 &
engine=$!
stop() {
  kill "$engine" 2>/dev/null
  wait "$engine"
  exit 130
}
trap stop INT TERM
PADDOCK_TEST_LANE=host vitest run --project host
host_status=$?
wait "$engine"
engine_status=$?
printf '\nThe suites that use an engine:\n'
cat "$log"
[ "$host_status" -eq 0 ] && [ "$engine_status" -eq 0 ]
