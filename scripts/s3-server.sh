#!/usr/bin/env bash
# A real S3-protocol server for the tests: Ceph's object gateway over one monitor and one store in memory, all on loopback, all
# below one folder, no system service. The data is gone when it stops.
#
#     scripts/s3-server.sh start [FOLDER [OWNER]]    prints endpoint and credentials as NAME=VALUE; running already: prints the
#                                            same. With the pid of an OWNER the server stops when that process is gone.
#     scripts/s3-server.sh stop [FOLDER]     ends what `start` left in the folder, and removes it
#
# FOLDER defaults to /tmp/paddock-s3-<uid>. Needs the Debian packages radosgw, ceph-mon and ceph-osd.
# Exit status: 0 done, 64 wrong use, 69 a program is missing or a part did not start (its log is printed).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly EXIT_USAGE=64 EXIT_UNAVAILABLE=69 START_SECONDS=90
readonly STORE_BYTES=$((2 * 1024 * 1024 * 1024))
PATH=$PATH:/usr/sbin:/sbin
action=${1:-}
folder=${2:-/tmp/paddock-s3-$(id -u)}
owner=${3:-}
conf=$folder/ceph.conf

stop_with() {
  printf 's3-server: %s\n' "$1" >&2
  exit "$EXIT_UNAVAILABLE"
}

# A process counts only while it still is the program that was started under this folder.
is_ours() {
  local pid
  pid=$(cat "$folder/$1.pid" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$conf"
}

free_port() {
  python3 -I -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# launch NAME COMMAND...: in a session of its own, so that the terminal's interrupt does not reach it.
launch() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$folder/$name.log" 2>&1 &
  printf '%s\n' "$!" >"$folder/$name.pid"
}

# wait_for NAME COMMAND...: until the command succeeds, while the part NAME lives.
wait_for() {
  local name=$1 deadline=$((SECONDS + START_SECONDS))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! is_ours "$name" || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 "$folder/$name.log" >&2
      stop_all
      stop_with "$name did not start"
    fi
    sleep 0.2
  done
}

ceph_() { timeout 20 ceph --conf "$conf" --connect-timeout 5 "$@"; }

write_conf() {
  cat >"$conf" <<CONF
[global]
fsid = $1
mon host = v2:127.0.0.1:$2
public addr = 127.0.0.1
ms bind ipv4 = true
auth cluster required = none
auth service required = none
auth client required = none
# The gateway asks for an encrypted connection to the monitor otherwise, which keys would be needed for.
ms mon client mode = crc
run dir = $folder
log file =
log to stderr = true
err to stderr = true
admin socket =
crash dir = $folder
mon data = $folder/mon
mon allow pool size one = true
mon warn on pool no redundancy = false
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = $STORE_BYTES
memstore page set = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
osd class dir = $(dirname "$(find /usr/lib -name 'libcls_rgw.so' -path '*rados-classes*' | head -n 1)")
rgw data = $folder/rgw
rgw enable usage log = false
rgw enable ops log = false
rgw gc obj min wait = 1
CONF
}

start_monitor() {
  monmaptool --create --fsid "$1" --addv a "[v2:127.0.0.1:$2]" "$folder/monmap" >/dev/null
  mkdir -p "$folder/mon" "$folder/osd" "$folder/rgw"
  ceph-mon --conf "$conf" -i a --mkfs --monmap "$folder/monmap" >"$folder/mon-mkfs.log" 2>&1
  launch mon ceph-mon --conf "$conf" -i a -f
  wait_for mon ceph_ mon stat
}

start_store() {
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ceph_ osd new "$uuid" >/dev/null 2>&1
  ceph-osd --conf "$conf" -i 0 --mkfs --osd-uuid "$uuid" >"$folder/osd-mkfs.log" 2>&1
  launch osd ceph-osd --conf "$conf" -i 0 -f
  wait_for osd bash -c "timeout 20 ceph --conf '$conf' osd stat | grep -q '1 up'"
}

start_gateway() {
  local port=$1
  access=PADDOCKTEST$(random_hex 5 | tr a-f A-F)
  secret=$(random_hex 20)
  timeout "$START_SECONDS" radosgw-admin --conf "$conf" user create --uid test --display-name test \
    --access-key "$access" --secret-key "$secret" >"$folder/user.log" 2>&1 || {
    tail -n 5 "$folder/user.log" >&2
    stop_all
    stop_with 'the test user could not be made'
  }
  launch rgw radosgw --conf "$conf" -n client.rgw -f --rgw-frontends="beast endpoint=127.0.0.1:$port"
  wait_for rgw python3 -I -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/', timeout=2)"
}

random_hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

start() {
  local program fsid mon_port port
  for program in ceph ceph-mon ceph-osd radosgw radosgw-admin monmaptool; do
    command -v "$program" >/dev/null || stop_with "$program is missing: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd"
  done
  (umask 077 && mkdir -p "$folder")
  exec 9>"$folder.lock"
  flock 9
  if is_ours rgw && is_ours osd && is_ours mon; then
    cat "$folder/settings"
    return
  fi
  stop_all
  (umask 077 && mkdir -p "$folder")
  fsid=$(cat /proc/sys/kernel/random/uuid)
  mon_port=$(free_port)
  port=$(free_port)
  write_conf "$fsid" "$mon_port"
  # The parts must not hold the lock.
  start_parts "$fsid" "$mon_port" "$port" 9>&-
  printf 'S3_ENDPOINT=http://127.0.0.1:%s\nS3_ACCESS_KEY_ID=%s\nS3_SECRET_ACCESS_KEY=%s\nS3_PIDS=%s\n' "$port" "$access" "$secret" \
    "$(cat "$folder"/{mon,osd,rgw}.pid | paste -sd ,)" >"$folder/settings"
  [ -z "$owner" ] || launch watch bash "$PWD/scripts/s3-server.sh" watch "$folder" "$owner" 9>&-
  cat "$folder/settings"
}

watch() {
  while kill -0 "$owner" 2>/dev/null && is_ours rgw; do sleep 1; done
  stop_all
  rm -f "$folder.lock"
}

start_parts() {
  start_monitor "$1" "$2"
  start_store
  start_gateway "$3"
}

stop_all() {
  local name pid
  for name in rgw osd mon; do
    is_ours "$name" || continue
    pid=$(cat "$folder/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 50); do
      is_ours "$name" || break
      sleep 0.1
    done
    if is_ours "$name"; then kill -KILL "$pid" 2>/dev/null || true; fi
  done
  # Never a folder that holds something else.
  if [ -e "$conf" ]; then rm -rf "$folder"; fi
}

case "$action" in
start) start ;;
watch) watch ;;
stop) stop_all && rm -f "$folder.lock" ;;
*)
  printf 'usage: scripts/s3-server.sh start|stop [FOLDER]\n' >&2
  exit "$EXIT_USAGE"
  ;;
esac
