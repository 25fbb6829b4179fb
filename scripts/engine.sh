#!/usr/bin/env bash
# A Docker engine of Paddock's own for tests and benches, beside whatever engine the machine has. Everything it makes lies in
# /var/tmp/paddock-engine-<uid>/ (PADDOCK_ENGINE_DIR names another folder); no bridge, no firewall rules, no service, no file in /etc.
#
#     scripts/engine.sh start [--socket PATH]    starts it unless it runs; prints its socket
#     scripts/engine.sh stop                     removes its containers, ends it and waits
#     scripts/engine.sh status                   prints its socket; exit status 3 when it does not run
#
# Runtimes: runc, runsc (the sandbox may dial unix sockets of the host), runsc-stdio (it may not).
# Exit status: 0 done, 3 not running, 64 wrong use, 69 it cannot run here (the reason is printed), 77 not root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

readonly EXIT_STOPPED=3 EXIT_USAGE=64 EXIT_UNAVAILABLE=69 EXIT_PERMISSION=77
readonly START_SECONDS=60 STOP_SECONDS=30
dir=${PADDOCK_ENGINE_DIR:-/var/tmp/paddock-engine-$(id -u)}

say() { printf 'engine: %s\n' "$*" >&2; }

stop_with() {
  say "$2"
  exit "$1"
}

usage() { stop_with "$EXIT_USAGE" 'usage: scripts/engine.sh start [--socket PATH] | stop | status'; }

# A process id of ours: the number in a file, while a process of that name was started with our folder.
read_pid() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && grep -qsF -- "$dir/" "/proc/$pid/cmdline" && printf '%s' "$pid"
}

engine_pid() { read_pid "$dir/dockerd.pid" dockerd; }
containerd_pid() { read_pid "$dir/exec/containerd/containerd.pid" containerd; }
read_socket() { cat "$dir/socket" 2>/dev/null; }
request() { curl -sf --max-time "$1" --unix-socket "$(read_socket)" "${@:2}"; }
answers() { request 5 http://engine/_ping >/dev/null 2>&1; }
is_running() { engine_pid >/dev/null && answers; }

# wait_until SECONDS COMMAND...
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

has_started_or_died() { answers || ! kill -0 "$1" 2>/dev/null; }
has_ended() { ! engine_pid >/dev/null && ! containerd_pid >/dev/null; }

check_can_run() {
  [ "$(id -u)" -eq 0 ] || stop_with "$EXIT_PERMISSION" 'an engine needs root; run this as root, or set DOCKER_HOST to an engine that you may use.'
  local tool
  for tool in dockerd containerd runc curl flock; do
    command -v "$tool" >/dev/null || stop_with "$EXIT_UNAVAILABLE" "$tool is missing. As root, run: bash scripts/setup.sh --test"
  done
}

write_config() {
  local runsc flags='"--platform=systrap","--network=none","--oci-seccomp"' runtimes=
  if runsc=$(bash "$here/gvisor.sh" --find 2>/dev/null); then
    runtimes="\"runsc\":{\"path\":\"$runsc\",\"runtimeArgs\":[$flags,\"--host-uds=open\"]},\"runsc-stdio\":{\"path\":\"$runsc\",\"runtimeArgs\":[$flags]}"
  else
    say 'without gVisor: no usable runsc (scripts/gvisor.sh builds one)'
  fi
  printf '{"runtimes":{%s},"live-restore":true,"log-level":"warn"}\n' "$runtimes" >"$dir/daemon.json"
}

# What an engine that was killed leaves: its pid files and socket make the next one refuse to start.
clear_stale() {
  engine_pid >/dev/null || rm -f "$dir/dockerd.pid" "$(read_socket || printf '%s' "$dir/docker.sock")"
  containerd_pid >/dev/null || rm -f "$dir/exec/containerd/containerd.pid"
}

start() {
  local socket=$1 child
  check_can_run
  mkdir -p "$dir"
  chmod 0711 "$dir"
  exec 9>"$dir/lock"
  flock -w "$START_SECONDS" 9 || stop_with "$EXIT_UNAVAILABLE" 'another start or stop does not end'
  if is_running; then
    read_socket
    return
  fi
  end_engine
  clear_stale
  printf '%s\n' "${socket:-$dir/docker.sock}" >"$dir/socket"
  write_config
  # Cgroups below a name of our own tell its containers from those of other engines.
  setsid dockerd --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/paddock-engine-$(id -u)" --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" \
    -H "unix://$(read_socket)" --bridge=none --iptables=false --ip6tables=false </dev/null >"$dir/dockerd.log" 2>&1 9>&- &
  child=$!
  wait_until "$START_SECONDS" has_started_or_died "$child" || kill -KILL "$child"
  if ! is_running; then
    tail -n 5 "$dir/dockerd.log" >&2
    stop_with "$EXIT_UNAVAILABLE" "the engine did not start; its log is $dir/dockerd.log"
  fi
  read_socket
}

# With live-restore an engine leaves its containers running: they go first.
remove_containers() {
  local id
  for id in $(request 10 'http://engine/containers/json?all=1' | grep -o '"Id":"[0-9a-f]\{64\}"' | cut -d'"' -f4); do
    request 20 -X DELETE "http://engine/containers/$id?force=1&v=1" || say "container ${id:0:12} was not removed"
  done
}

end_engine() {
  local pid
  if pid=$(engine_pid); then
    kill "$pid" 2>/dev/null || true
    if ! wait_until "$STOP_SECONDS" has_ended; then
      pid=$(engine_pid) && kill -KILL "$pid"
    fi
  fi
  # A killed engine leaves its containerd.
  if pid=$(containerd_pid); then
    kill "$pid" 2>/dev/null || true
    wait_until "$STOP_SECONDS" has_ended || say "containerd ($pid) does not end"
  fi
}

list_mounts() { cut -d' ' -f2 /proc/mounts | grep -F -- "$dir/" | sort -r; }

stop() {
  [ -d "$dir" ] || return 0
  [ "$(id -u)" -eq 0 ] || stop_with "$EXIT_PERMISSION" 'stopping the engine needs root'
  exec 9>"$dir/lock"
  flock -w "$START_SECONDS" 9 || stop_with "$EXIT_UNAVAILABLE" 'another start or stop does not end'
  if is_running; then remove_containers; fi
  end_engine
  has_ended || stop_with "$EXIT_UNAVAILABLE" "the engine does not end; its log is $dir/dockerd.log"
  local mount
  for mount in $(list_mounts); do umount "$mount" || true; done
  clear_stale
}

status() {
  is_running || exit "$EXIT_STOPPED"
  read_socket
}

case "$# ${1:-} ${2:-}" in
'1 start ') start '' ;;
'3 start --socket') start "$3" ;;
'1 stop ') stop ;;
'1 status ') status ;;
*) usage ;;
esac
