#!/usr/bin/env bash
# Makes a clone ready to run: npm packages, and the system tools that Paddock uses. Safe to run again at any time; when nothing
# is missing it takes a fraction of a second and prints nothing.
#
#     scripts/setup.sh           what running needs
#     scripts/setup.sh --test    what the tests and checks need, too
#     scripts/setup.sh --docker  a Docker engine, too, where there is none
#     scripts/setup.sh --gvisor  gVisor (runsc), too; says how an engine learns of it
#
# It never edits an engine's configuration and restarts nothing.
# Exit status: 0 ready, 64 wrong use, 69 something is missing that this script cannot install (it prints what to do).
set -euo pipefail
cd "$(dirname "$0")/.."

# Without the clone's own programs, which npm puts first: npm must not run from the folder that it replaces.
# With the folders of mkfs.ext4, which are not in every user's PATH.
PATH=$(printf '%s' "$PATH" | tr : '\n' | grep -v '/node_modules/\.bin$' | paste -sd :):/usr/sbin:/sbin

readonly EXIT_USAGE=64 EXIT_UNAVAILABLE=69
readonly MIN_NODE=20 MIN_PYTHON=3.11
readonly CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
readonly PYTHON_CHECKS=node_modules/.cache/python-checks
python=${PADDOCK_PYTHON:-/usr/bin/python3}

# command:package, or a path, which may have stars, in place of the command; of packages joined by | the first one that the system knows
run_tools=(bwrap:bubblewrap mkfs.ext4:e2fsprogs mount:mount flock:util-linux prlimit:util-linux setpriv:util-linux)
test_tools=(shellcheck:shellcheck strace:strace openssl:openssl curl:curl git:git gcc:build-essential
  ceph-mon:ceph-mon ceph-osd:ceph-osd radosgw:radosgw ceph:ceph-common "/usr/lib/postgresql/*/bin/postgres:postgresql")
# The tests' own engine (scripts/engine.sh) runs as root only, so only root needs it.
engine_tools=(dockerd:docker.io "docker:docker-cli|docker.io" containerd:containerd runc:runc mmdebstrap:mmdebstrap)

say() { printf 'setup: %s\n' "$*" >&2; }

stop() {
  say "$1"
  exit "$EXIT_UNAVAILABLE"
}

check_node() {
  local version
  version=$(node --version 2>/dev/null) || version=none
  if [ "$version" = none ] || [ "$(major "$version")" -lt "$MIN_NODE" ]; then
    stop "Node.js $MIN_NODE or later with npm is needed to begin with (found: $version). Install it from https://nodejs.org/en/download and run this again."
  fi
  command -v npm >/dev/null || stop "Node.js $version is here, and npm is not. As root, run: apt-get install -y npm"
}

# v24.1.0 -> 24
major() {
  local version=${1#v}
  printf '%s' "${version%%.*}"
}

python_is_recent() { "$python" -c 'import sys; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))' "$MIN_PYTHON"; }
python_has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

has_tool() {
  case $1 in
  /*) compgen -G "$1" >/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

# Prints the Debian packages that are missing, one to a line.
list_missing() {
  local tool
  for tool in "$@"; do
    has_tool "${tool%%:*}" || printf '%s\n' "${tool#*:}"
  done
  [ -s "$CA_BUNDLE" ] || printf 'ca-certificates\n'
  if [ "$python" = /usr/bin/python3 ]; then
    if [ ! -x "$python" ]; then
      printf 'python3\npython3-venv\n'
    elif python_is_recent && ! python_has_venv; then
      printf 'python3-venv\n'
    fi
  fi
}

# Runs as root, directly or through a sudo that asks nothing; fails where neither works.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo -n -- "$@"
  fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

# apt-get without questions; its output is shown only when it fails.
apt_get() {
  local output
  output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null 2>&1) || {
    printf '%s\n' "$output" >&2
    return 1
  }
}

# Of packages that have another name or another split in another release.
choose_package() {
  local package
  for package in ${1//|/ }; do
    if apt-cache show "$package" >/dev/null 2>&1; then break; fi
  done
  printf '%s\n' "$package"
}

install_packages() {
  local packages command
  command -v apt-get >/dev/null || stop "missing: $*. This system has no apt-get; install what these Debian packages hold, and run this again."
  if can_be_root; then apt_get update || say "apt-get update failed; trying with the lists at hand"; fi
  mapfile -t packages < <(for package in "$@"; do choose_package "$package"; done | sort -u)
  command="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
  can_be_root || stop "missing: ${packages[*]}. As root, run: $command"
  say "installing ${packages[*]}"
  apt_get install -y --no-install-recommends "${packages[@]}" || stop "the installation failed. As root, run: $command"
}

check_tools() {
  local missing
  mapfile -t missing < <(list_missing "$@" | sort -u)
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
    mapfile -t missing < <(list_missing "$@" | sort -u)
    [ "${#missing[@]}" -eq 0 ] || stop "still missing after the installation: ${missing[*]}"
  fi
}

check_python() {
  [ -x "$python" ] || stop "PADDOCK_PYTHON names $python, which is not a program"
  python_is_recent || stop "$python is $("$python" --version 2>&1); Paddock needs Python $MIN_PYTHON or later. $(python_advice)"
  python_has_venv || stop "$python lacks the venv module. As root, run: apt-get install -y $(basename "$(readlink -f "$python")")-venv"
}

python_advice() {
  local release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_ID:-}") || release=
  if [ "$release" = 'ubuntu 22.04' ]; then
    printf 'As root, run: apt-get install -y python3.11 python3.11-venv (from universe). Then: export PADDOCK_PYTHON=/usr/bin/python3.11'
  else
    printf 'Install one beside it and name it: export PADDOCK_PYTHON=/usr/bin/python3.12'
  fi
}

# An engine that is named, runs or is installed.
find_engine() {
  local socket
  if [ -n "${DOCKER_HOST:-}" ]; then
    printf '%s' "$DOCKER_HOST"
    return
  fi
  for socket in /var/run/docker.sock "${XDG_RUNTIME_DIR:-/nowhere}/docker.sock"; do
    if [ -S "$socket" ]; then
      printf '%s' "$socket"
      return
    fi
  done
  command -v dockerd || command -v podman
}

make_docker_ready() {
  local engine
  if ! engine=$(find_engine); then
    check_tools dockerd:docker.io
    engine=$(find_engine)
  fi
  say "engine: $engine"
  case $engine in
  */dockerd) say 'It does not run yet. As root, run: systemctl start docker (without systemd: dockerd)' ;;
  */podman) say 'Its socket does not run yet. Run: systemctl --user start podman.socket (as root without --user)' ;;
  esac
}

make_gvisor_ready() {
  local runsc
  runsc=$(bash scripts/gvisor.sh) || exit
  cat >&2 <<EOF
setup: gVisor: $runsc
setup: To let Docker use it, put this into /etc/docker/daemon.json and restart Docker:
{"runtimes": {"runsc": {"path": "$runsc", "runtimeArgs": ["--platform=systrap", "--network=none", "--host-uds=open", "--oci-seccomp"]}}}
EOF
}

# The tests say what they leave out for want of gVisor; under CI that fails them.
make_tests_ready() {
  [ "$(id -u)" -eq 0 ] || return 0
  bash scripts/gvisor.sh --find >/dev/null 2>&1 || bash scripts/gvisor.sh >/dev/null || say 'the tests run without gVisor'
}

python_checks_are_current() {
  [ -f "$PYTHON_CHECKS/installed.txt" ] && [ "$(<"$PYTHON_CHECKS/installed.txt")" = "$(<scripts/python-checks.txt)" ]
}

# ruff and mypy, which `npm run check` cannot do without and the tests can.
install_python_checks() {
  if python_checks_are_current; then return 0; fi
  say 'installing ruff and mypy'
  {
    "$python" -m venv --clear "$PYTHON_CHECKS" &&
      "$PYTHON_CHECKS/bin/pip" install --quiet --retries 1 --no-deps --only-binary :all: -r scripts/python-checks.txt &&
      printf '%s\n' "$(<scripts/python-checks.txt)" >"$PYTHON_CHECKS/installed.txt"
  } >&2 || say 'ruff and mypy are missing, so npm run check will fail: check that pip reaches its index'
}

warn_about_namespaces() {
  local switch=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
  if [ "$(id -u)" -ne 0 ] && [ "$(cat "$switch" 2>/dev/null)" = 1 ]; then
    say 'AppArmor keeps user namespaces from unprivileged programs here; paddock doctor says what that means and what to do.'
  fi
}

npm_packages_are_current() {
  [ node_modules/.package-lock.json -nt package-lock.json ] && [ node_modules/.package-lock.json -nt package.json ] &&
    [ -x node_modules/node/bin/node ]
}

install_npm_packages() {
  # A published package has no lock: its dependencies are npm's business.
  [ -f package-lock.json ] || return 0
  if npm_packages_are_current; then return 0; fi
  say 'installing npm packages'
  if ! npm ci --loglevel=error </dev/null >&2; then
    [ -z "${CI:-}" ] || stop 'npm ci failed'
    say 'npm ci failed; trying npm install, which may change package-lock.json'
    npm install --loglevel=error </dev/null >&2 || stop 'npm install failed: check that npm reaches its registry'
  fi
  # npm leaves the file alone when nothing had to change, and its age is what the next run looks at.
  touch node_modules/.package-lock.json
  [ -x node_modules/node/bin/node ] || stop 'the package "node" has no program: npm must be allowed to run its install script'
}

usage() {
  say 'usage: scripts/setup.sh [--test] [--docker] [--gvisor]'
  exit "$EXIT_USAGE"
}

main() {
  local flag tools=("${run_tools[@]}") more=()
  for flag in "$@"; do
    case $flag in
    --test)
      tools+=("${test_tools[@]}")
      if [ "$(id -u)" -eq 0 ]; then tools+=("${engine_tools[@]}"); fi
      more+=(make_tests_ready install_python_checks)
      ;;
    --docker) more+=(make_docker_ready) ;;
    --gvisor) more+=(make_gvisor_ready) ;;
    *) usage ;;
    esac
  done
  check_node
  check_tools "${tools[@]}"
  check_python
  warn_about_namespaces
  install_npm_packages
  for flag in ${more[@]+"${more[@]}"}; do "$flag"; done
}

main "$@"
