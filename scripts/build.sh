#!/usr/bin/env bash
# What `npm run build` does: the sources to dist/, and the conformance suite of drivers beside them, as
# `paddock/conformance/driver`. The suite is a test; built, it uses the very modules of dist/ that a driver's author imports.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PWD/node_modules/node/bin:$PATH

tsc -p tsconfig.build.json
tsc -p tsconfig.conformance.json
rm -rf dist/conformance
mv dist/.conformance/test/conformance dist/conformance
rm -rf dist/.conformance
find dist/conformance -type f -name '*.js' -o -name '*.d.ts' -path '*/conformance/*' | while IFS= read -r file; do
  # test/conformance/driver/ lies three folders from src/, dist/conformance/driver/ two from dist/; groups/ one more each.
  sed -i -e 's#\(\.\./\)\{4\}src/#../../../#' -e 's#\(\.\./\)\{3\}src/#../../#' "$file"
done
