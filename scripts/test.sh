#!/usr/bin/env bash
# Runs every test: `npm test`. The suites that use a container engine run beside the others, each worker with a data folder of its own:
# two workers a lane keep two cores busy while suites wait. At the end it says how long that took, and which files took longest. With arguments it is
# `vitest run`.
#
#     scripts/test.sh [vitest arguments]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bash scripts/setup.sh --test || exit
# Data folders and engine are one user's: his next run waits for this one. What outlives a run does not hold the lock.
if [ -z "${PADDOCK_TEST_LOCKED:-}" ]; then
  lock=/var/tmp/paddock-test-$(id -u).lock
  flock -n "$lock" true || echo "waiting for another run of the tests ($lock)"
  export PADDOCK_TEST_LOCKED=1
  exec flock -o "$lock" bash scripts/test.sh "$@"
fi
PATH=$PWD/node_modules/.bin:$PWD/node_modules/node/bin:$PATH
# Every test that starts Node loads what was compiled before.
export NODE_COMPILE_CACHE=$PWD/node_modules/.cache/compiled

# run LANE WORKERS PROJECT...
run() {
  local lane=$1 workers=$2 projects=()
  shift 2
  local project
  for project in "$@"; do projects+=(--project "$project"); done
  PADDOCK_TEST_LANE=$lane vitest run --maxWorkers "$workers" --reporter default --reporter json --outputFile.json "$out/$lane.json" "${projects[@]}"
}

if [ $# -gt 0 ]; then
  exec vitest run --no-file-parallelism "$@"
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
run engine 2 engine >"$out/engine.log" 2>&1 &
engine=$!
stop() {
  kill "$engine" 2>/dev/null
  wait "$engine"
  exit 130
}
trap stop INT TERM
run host 2 unit host
host_status=$?
wait "$engine"
engine_status=$?
printf '\nThe suites that use an engine:\n'
cat "$out/engine.log"
node scripts/slowest.ts "$SECONDS" "$out"/*.json
[ "$host_status" -eq 0 ] && [ "$engine_status" -eq 0 ]
