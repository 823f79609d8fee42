# shellcheck shell=bash
# Shared by up, down, status and install: options, folders, ports, processes, waiting. Sourced, not run.
#
# What a server of an instance leaves in its folder: <service>/ (data), <service>.log (this start),
# <service>.log.1 (the start before), <service>.pid. A pid file counts only if the process it names
# lives and its command line names this folder, so a stale file is harmless.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ALL_SERVICES=(kafka postgres redis)

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
in_range() { [[ $1 =~ ^[0-9]{1,9}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3)); }
have() { command -v "$1" >/dev/null 2>&1; }

# Reads the options every script knows; the rest goes to EXTRA for the script itself.
parse_options() {
  INSTANCE=${INSTANCE:-default} SERVICES=() EXTRA=()
  ENV_ONLY=no
  while (($#)); do
    case $1 in
      --instance) [[ ${2-} ]] || die "--instance needs a name"; INSTANCE=$2; shift ;;
      --instance=*) INSTANCE=${1#*=} ;;
      --only) [[ ${2-} ]] || die "--only needs kafka, postgres or redis"; add_service "$2"; shift ;;
      --only=*) add_service "${1#*=}" ;;
      --env) export ENV_ONLY=yes ;;
      -h | --help) usage; exit 0 ;;
      *) EXTRA+=("$1") ;;
    esac
    shift
  done
  ((${#SERVICES[@]})) || SERVICES=("${ALL_SERVICES[@]}")
  [[ $INSTANCE =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] ||
    die "--instance '$INSTANCE': only letters, digits, '-' and '_'"
}

add_service() {
  [[ " ${ALL_SERVICES[*]} " == *" $1 "* ]] || die "--only '$1': choose ${ALL_SERVICES[*]}"
  SERVICES+=("$1")
}

refuse_extra() { ((${#EXTRA[@]} == 0)) || die "unknown option '${EXTRA[0]}' (see --help)"; }

# Root's home is closed to the user PostgreSQL must run as, hence /var/lib for root.
base_dir() {
  if ((EUID == 0)); then echo /var/lib/orders-dev; else echo "${XDG_STATE_HOME:-$HOME/.local/state}/orders-dev"; fi
}

use_instance() {
  DEV_DIR=${DEV_DIR:-$(base_dir)/$INSTANCE}
  [[ $DEV_DIR == /* ]] || DEV_DIR=$PWD/$DEV_DIR
}

# Called by whoever changes something: one at a time for each instance.
lock_instance() {
  mkdir -p "$DEV_DIR" || die "can't make $DEV_DIR: set DEV_DIR to a folder you may write"
  exec 9>"$DEV_DIR/lock"
  flock -w 120 9 || die "another up or down has held $DEV_DIR/lock for two minutes"
}

# Between these two nobody else chooses ports, so two new instances never get the same. Ports are noted
# before the second; a program that isn't ours is met later, by refuse_taken_port.
lock_ports() {
  local folder
  folder=$(base_dir)
  mkdir -p "$folder" || die "can't make $folder"
  exec 8>"$folder/ports.lock"
  flock -w 120 8 || die "another up has held $folder/ports.lock for two minutes"
}
unlock_ports() { exec 8>&-; }

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Ports, in this order: the environment, what this instance used last, the defaults (the first
# instance) or the next free group of ten above them (the others).
use_ports() {
  local kafka=${KAFKA_PORT-} postgres=${POSTGRES_PORT-} redis=${REDIS_PORT-} controller=${KAFKA_CONTROLLER_PORT-}
  local brokers=${KAFKA_NODES-} shift=0
  # shellcheck source=/dev/null
  if [[ -r $DEV_DIR/ports ]]; then
    source "$DEV_DIR/ports"
  elif [[ $INSTANCE != default ]]; then
    shift=10
    while ports_wanted "$shift"; do ((shift += 10)); done
  fi
  refuse_moved_port kafka "$kafka" "${KAFKA_PORT-}"
  refuse_moved_port postgres "$postgres" "${POSTGRES_PORT-}"
  refuse_moved_port redis "$redis" "${REDIS_PORT-}"
  KAFKA_PORT=${kafka:-${KAFKA_PORT:-$((19092 + shift))}}
  POSTGRES_PORT=${postgres:-${POSTGRES_PORT:-$((15432 + shift))}}
  REDIS_PORT=${redis:-${REDIS_PORT:-$((16379 + shift))}}
  KAFKA_CONTROLLER_PORT=${controller:-$((KAFKA_PORT + 1))}
  KAFKA_NODES=${brokers:-${KAFKA_NODES:-1}}
  local name
  for name in KAFKA_PORT POSTGRES_PORT REDIS_PORT KAFKA_CONTROLLER_PORT; do
    in_range "${!name}" 1 65535 || die "$name='${!name}' isn't a port"
  done
  add_nodes
}

# A running server can't move. refuse_moved_port SERVICE WANTED NOTED
refuse_moved_port() {
  [[ -z $2 || $2 == "$3" ]] || ! "$1_pid" >/dev/null ||
    die "$1 of instance '$INSTANCE' runs on port ${3:-unknown}, not $2: compose/dev/down --only $1 first"
}

# True if a port of the group at this distance is open, or another instance has noted it.
ports_wanted() {
  local port
  for port in $((19092 + $1)) $((19093 + $1)) $((15432 + $1)) $((16379 + $1)); do
    port_open "$port" && return 0
    grep -qsE "=$port\$" "$(base_dir)"/*/ports && return 0
  done
  return 1
}

save_ports() {
  printf '%s\n' "KAFKA_PORT=$KAFKA_PORT" "POSTGRES_PORT=$POSTGRES_PORT" "REDIS_PORT=$REDIS_PORT" \
    "KAFKA_NODES=$KAFKA_NODES" >"$DEV_DIR/ports"
}

# The command line of a process; empty if there is none (/proc, as a small machine has no ps).
command_line() { { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true; }

# pid_of FILE MARK: the pid in FILE, if that process lives and its command line contains MARK.
pid_of() {
  local pid
  pid=$(head -n 1 "$1" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
  [[ $(command_line "$pid") == *"$2"* ]] || return 1
  echo "$pid"
}

# launch SERVICE COMMAND…: detached, its output to the service's log, its pid noted.
launch() {
  local service=$1 log=$DEV_DIR/$1.log
  shift
  [[ ! -e $log ]] || mv -f "$log" "$log.1"
  # Its own session, so that it survives the terminal; without the lock, which it would hold for ever.
  (cd / && exec setsid "$@" </dev/null >"$log" 2>&1 9>&-) &
  echo $! >"$DEV_DIR/$service.pid"
  # Until it has become the server its command line is ours, which a busy machine shows for a while.
  while [[ $(command_line $!) == "$(command_line $$)" ]]; do sleep 0.02; done
}

refuse_taken_port() {
  ! port_open "$1" || die "port $1 is taken by another program: stop it, or set $2 to a free port"
}

# wait_ready SERVICE SECONDS: until <service>_ready succeeds; the log's tail tells why it didn't.
wait_ready() {
  local service=$1 seconds=$2 deadline=$((SECONDS + $2))
  until "${service}_ready"; do
    if ! "${service}_pid" >/dev/null && ! "${service}_revive"; then
      fail_with_log "$service" "$service ended while starting"
    fi
    ((SECONDS < deadline)) ||
      fail_with_log "$service" "$service isn't ready after $seconds s (DEV_TIMEOUT_S gives it longer)"
    sleep 0.2
  done
}

fail_with_log() {
  say "--- last lines of $DEV_DIR/$1.log"
  tail -n 25 "$DEV_DIR/$1.log" >&2 || true
  say "---"
  die "$2; whole log: $DEV_DIR/$1.log"
}

# stop SERVICE SIGNAL: asks, waits 30 s, then insists.
stop() {
  local service=$1 pid i
  if ! pid=$("${service}_pid"); then
    rm -f "$DEV_DIR/$service.pid"
    return
  fi
  kill "-$2" "$pid" 2>/dev/null || true
  for ((i = 0; i < 150; i++)); do
    "${service}_pid" >/dev/null || break
    sleep 0.2
  done
  if pid=$("${service}_pid"); then
    say "$service (pid $pid) didn't end in 30 s: killed"
    kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$DEV_DIR/$service.pid"
  say "$service stopped"
}

print_env() {
  local service
  for service in "${SERVICES[@]}"; do "${service}_env"; done
}

for part in packages kafka postgres redis; do
  # shellcheck source=/dev/null
  source "$HERE/lib/$part.sh"
done
