# shellcheck shell=bash disable=SC2154
# The fixed part of all setup code. The generator puts the plan's values before it and the plan's steps after it
# (src/setup/setup-code.ts). It is read whole before anything runs, so a step can never eat the script from standard input.

ENV_DIR=${ENV_DIR:-$default_env_dir}
python=${PADDOCK_PYTHON:-$default_python}
step_index=0 step_name=Start failure=

say() { printf 'setup: %s\n' "$*" >&2; }

# Ends the run; the text becomes `error` in the readiness file.
fail() {
  failure=$1
  exit 1
}

step() {
  step_index=$((step_index + 1))
  step_name=$1
  : >"$ENV_DIR/.step.log"
  say "[$step_index/$step_count] $step_name"
}

# Runs a command with the plan's variables; its output goes to standard error and to the step's log.
logged() {
  (
    [ "${#plan_env[@]}" -eq 0 ] || export "${plan_env[@]}"
    exec -- "$@"
  ) </dev/null 2>&1 | tee -a "$ENV_DIR/.step.log" >&2
}

# For downloads only: waits 1, 3, 9 ... seconds between attempts.
retry() {
  local attempt=1 delay_s=1
  until "$@"; do
    [ "$attempt" -lt "$max_attempts" ] || return 1
    say "attempt $attempt of $max_attempts failed, the next one in $delay_s s"
    sleep "$delay_s"
    attempt=$((attempt + 1)) delay_s=$((delay_s * 3))
  done
}

# Text as a JSON string, reduced to printable ASCII and line ends.
json_text() {
  local text
  text=$(printf '%s' "$1" | LC_ALL=C tr -cd '\n\040-\176')
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  printf '"%s"' "$text"
}

# Writes a file whole or not at all.
write_file() {
  printf '%s\n' "$2" >"$1.$$.tmp"
  mv -f -- "$1.$$.tmp" "$1"
}

# write_readiness true|false ERROR_JSON VERSIONS_JSON
write_readiness() {
  write_file "$ENV_DIR/ready.json" \
    "{\"ok\":$1,\"step\":$(json_text "$step_name"),\"error\":$2,\"plan\":\"$plan_hash\",\"versions\":$3}"
}

on_exit() {
  local status=$?
  trap - EXIT
  [ "$status" -ne 0 ] || return 0
  if [ -z "$failure" ] && [ -f "$ENV_DIR/.step.log" ]; then
    failure=$(LC_ALL=C tail -c 4000 -- "$ENV_DIR/.step.log" | tail -n 20)
  fi
  say "failed in step '$step_name' (exit status $status): $failure"
  write_readiness false "$(json_text "${failure:-exit status $status}")" '{}' || say "cannot write $ENV_DIR/ready.json"
  exit "$status"
}

# What the environment was made from: the plan and the interpreters that it points to.
describe_inputs() {
  printf '%s' "$plan_hash"
  [ "$uses_python" = no ] || printf ' %s' "$(readlink -f -- "$python" || true)"
  [ "$uses_javascript" = no ] || printf ' %s' "$(node --version 2>/dev/null || true)"
}

is_current() {
  [ -r "$ENV_DIR/.stamp" ] && [ -r "$ENV_DIR/ready.json" ] || return 1
  [ "$(cat -- "$ENV_DIR/.stamp")" = "$(describe_inputs)" ] || return 1
  grep -q '^{"ok":true,' -- "$ENV_DIR/ready.json" || return 1
  [ "$uses_python" = no ] || [ -x "$ENV_DIR/venv/bin/python" ] || return 1
  [ "$uses_javascript" = no ] || [ -f "$ENV_DIR/node/package.json" ]
}

# A second run waits for the first. A killed run's installer may still hold the lock: two never write one tree.
take_lock() {
  command -v flock >/dev/null || return 0
  exec 9>"$ENV_DIR/.lock"
  flock -w 600 9 || fail "another setup run has held $ENV_DIR/.lock for 600 s"
}

# Nothing of an earlier tree is built on: what it lacks cannot be known. Downloads come from pip's and npm's caches.
start_afresh() {
  step 'Prepare the folder'
  rm -rf -- "$ENV_DIR/.stamp" "$ENV_DIR/ready.json" "$ENV_DIR/lock.json" "$ENV_DIR/env.sh" \
    "$ENV_DIR/venv" "$ENV_DIR/node" "$ENV_DIR/files" "$ENV_DIR"/*.tmp
}

make_python() {
  step 'Create the Python virtual environment'
  [ -x "$python" ] || fail "$python is missing: install Python 3.11 or later, or name one in PADDOCK_PYTHON"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "the venv module of $python is missing: on Debian and Ubuntu run apt-get install python3-venv"
  logged "$python" -m venv -- "$ENV_DIR/venv"
}

install_python() {
  step "Install $# Python packages"
  # --ignore-installed: a retried run reports what its predecessor had already installed, too.
  retry logged "$ENV_DIR/venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --ignore-installed --report "$ENV_DIR/.pip-report.json" -- "$@"
}

# Lines: the packages as a JSON array, the versions of those that were asked for as a JSON object.
report_python() {
  [ -f "$ENV_DIR/.pip-report.json" ] || { printf '[]\n{}\n' && return 0; }
  "$ENV_DIR/venv/bin/python" -I -c '
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    items = json.load(file)["install"]
packages = [
    {
        "name": item["metadata"]["name"],
        "version": item["metadata"]["version"],
        "requested": item["requested"],
        "sha256": item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256"),
    }
    for item in items
]
packages.sort(key=lambda package: package["name"].lower())
print(json.dumps(packages))
print(json.dumps({package["name"]: package["version"] for package in packages if package["requested"]}))
' "$ENV_DIR/.pip-report.json"
}

# make_javascript PACKAGE_JSON COUNT
make_javascript() {
  step "Install $2 npm packages"
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    fail 'node or npm is missing in PATH: install Node.js 20 or later with npm'
  fi
  mkdir -p -- "$ENV_DIR/node/node_modules"
  printf '%s\n' "$1" >"$ENV_DIR/node/package.json"
  (cd -- "$ENV_DIR/node" && retry logged npm install --no-audit --no-fund --no-update-notifier --loglevel=error)
}

# Lines: the packages as a JSON array, the versions of those that were asked for as a JSON object.
report_javascript() {
  [ "$uses_javascript" = yes ] || { printf '[]\n{}\n' && return 0; }
  # npm ls exits non-zero for mere warnings such as an unmet peer; a package that is missing shows below.
  (cd -- "$ENV_DIR/node" && npm ls --json --all --loglevel=silent >"$ENV_DIR/.npm-report.json" </dev/null) || true
  node -e '
const { readFileSync } = require("node:fs");
const [report, project] = process.argv.slice(1).map((path) => JSON.parse(readFileSync(path, "utf8")));
const requested = Object.keys(project.dependencies);
const packages = new Map();
const walk = (tree, isTop) => {
  for (const [name, { version, dependencies = {} }] of Object.entries(tree)) {
    const id = name + "@" + version;
    const asked = isTop && requested.includes(name);
    if (version && (asked || !packages.has(id))) packages.set(id, { name, version, requested: asked });
    walk(dependencies, false);
  }
};
walk(report.dependencies ?? {}, true);
const versions = Object.fromEntries(requested.map((name) => [name, report.dependencies?.[name]?.version]));
const missing = requested.filter((name) => !versions[name]);
if (missing.length > 0) throw new Error("npm did not install " + missing.join(", "));
console.log(JSON.stringify([...packages.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, found]) => found)));
console.log(JSON.stringify(versions));
' "$ENV_DIR/.npm-report.json" "$ENV_DIR/node/package.json"
}

# put_file PATH MODE CONTENT
put_file() {
  mkdir -p -- "$(dirname -- "$ENV_DIR/files/$1")"
  printf '%s' "$3" >"$ENV_DIR/files/$1"
  chmod "$2" -- "$ENV_DIR/files/$1"
}

# env.sh: sourced by a shell that wants to use the environment. NODE_PATH serves require(); an ES module import looks for
# node_modules beside the program and above it, so link "$ENV_DIR/node/node_modules" there.
write_env_file() {
  # shellcheck disable=SC2016 # $PATH is for the shell that sources the file
  {
    printf 'export ENV_DIR=%q\n' "$ENV_DIR"
    [ "$uses_python" = no ] || printf 'export VIRTUAL_ENV=%q\n' "$ENV_DIR/venv"
    [ "$uses_python" = no ] || printf 'export PATH=%q:"$PATH"\n' "$ENV_DIR/venv/bin"
    [ "$uses_javascript" = no ] || printf 'export NODE_PATH=%q\n' "$ENV_DIR/node/node_modules"
    [ "$uses_javascript" = no ] || printf 'export PATH=%q:"$PATH"\n' "$ENV_DIR/node/node_modules/.bin"
    local assignment
    for assignment in "${plan_env[@]}"; do printf 'export %q\n' "$assignment"; done
  } >"$ENV_DIR/env.sh"
}

check_python() { logged "$ENV_DIR/venv/bin/python" -c 'import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]' "$@"; }

check_javascript() {
  (cd -- "$ENV_DIR/node" && logged node --input-type=module -e 'for (const n of process.argv.slice(1)) await import(n)' -- "$@")
}

# With the environment's programs first in PATH.
check_command() {
  (
    PATH=$ENV_DIR/venv/bin:$ENV_DIR/node/node_modules/.bin:$PATH
    logged "$@"
  )
}

finish() {
  step 'Write the lock and readiness files'
  write_env_file
  local python_report javascript_report python_versions javascript_versions versions
  python_report=$(report_python 2>>"$ENV_DIR/.step.log")
  javascript_report=$(report_javascript 2>>"$ENV_DIR/.step.log")
  python_versions=${python_report##*$'\n'} javascript_versions=${javascript_report##*$'\n'}
  versions=${python_versions%\}}, versions+=${javascript_versions#\{}
  case "$python_versions$javascript_versions" in
  '{}'*) versions=$javascript_versions ;;
  *'{}') versions=$python_versions ;;
  esac
  write_file "$ENV_DIR/lock.json" \
    "{\"plan\":\"$plan_hash\",\"python\":${python_report%%$'\n'*},\"javascript\":${javascript_report%%$'\n'*}}"
  rm -f -- "$ENV_DIR/.pip-report.json" "$ENV_DIR/.npm-report.json" "$ENV_DIR/.step.log"
  write_readiness true null "$versions"
  write_file "$ENV_DIR/.stamp" "$(describe_inputs)"
  say "ready: $ENV_DIR"
}

main() {
  case $ENV_DIR in
  /?*) ;;
  *) say "ENV_DIR must be an absolute path other than /, not '$ENV_DIR'" && exit 64 ;;
  esac
  if is_current; then
    say "$plan_name is up to date in $ENV_DIR"
    return 0
  fi
  umask 022
  mkdir -p -- "$ENV_DIR"
  trap on_exit EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  take_lock
  if is_current; then return 0; fi
  start_afresh
  run_plan
  finish
}
