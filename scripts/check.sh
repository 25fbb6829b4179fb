#!/usr/bin/env bash
# Every check that needs no sandbox, with a short summary: `npm run check`. All of them run; one that fails makes the exit status 1.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bash scripts/setup.sh --test || exit
PATH=$PWD/node_modules/.bin:$PWD/node_modules/node/bin:$PATH

python=${PADDOCK_PYTHON:-/usr/bin/python3}
python_checks=$PWD/node_modules/.cache/python-checks/bin

failed=()

# check NAME COMMAND...: the command's output is shown only when it fails.
check() {
  local name=$1 output status=0 started_us=${EPOCHREALTIME/[.,]/} elapsed_ms
  shift
  output=$("$@" 2>&1) || status=$?
  elapsed_ms=$(((${EPOCHREALTIME/[.,]/} - started_us) / 1000))
  if [ "$status" -eq 0 ]; then
    printf 'ok      %6d ms  %s\n' "$elapsed_ms" "$name"
  else
    failed+=("$name")
    printf '%s\nFAILED  %6d ms  %s\n' "$output" "$elapsed_ms" "$name"
  fi
}

# Files of the working tree that git does not ignore, committed or not.
list_files() {
  local file
  git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
  done
}

check_shell() { list_files '*.sh' .ci/run | xargs -0 -r shellcheck; }

check_python_style() { "$python_checks/ruff" format --check --quiet && "$python_checks/ruff" check; }

# Where the modules of each program are looked for; runners and tools are programs of their own.
python_programs=(images/{supervisor,supervisor/runners,supervisor/tools,launcher,ractor})

check_python_types() {
  local root=$PWD folder status=0
  for folder in "${python_programs[@]}"; do
    (cd "$folder" && "$python_checks/mypy" --config-file "$root/pyproject.toml" --exclude '^(runners|tools)/' .) || status=1
  done
  return "$status"
}

check_python_imports() { "$python" -I scripts/check-python-imports.py "${python_programs[@]}"; }

check_python() {
  list_files '*.py' | xargs -0 -r "$python" -I -W error -c '
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
'
}

check 'types (tsc)' tsc --noEmit
check 'format and lint (biome)' biome check --error-on-warnings .
check 'typed lint (oxlint)' oxlint --type-aware --deny-warnings .
check 'import rules (deps.json)' node scripts/check-imports.ts
check 'unused code (knip)' knip --no-progress --no-config-hints
check 'shell (shellcheck)' check_shell
check 'Python compiles' check_python
check 'Python format and lint (ruff)' check_python_style
check 'Python types (mypy)' check_python_types
check 'Python imports' check_python_imports
check 'documents agree with code' node scripts/check-docs.ts
check 'lockfile is complete' node scripts/fill-lockfile.mjs --check

if [ "${#failed[@]}" -gt 0 ]; then
  printf '%d of 12 checks failed:' "${#failed[@]}"
  printf ' %s;' "${failed[@]}"
  printf '\n'
  exit 1
fi
echo 'all checks passed'
