# shellcheck shell=bash
# Redis 7 or newer, with its append-only file. Sourced by common.sh.

redis_env() { echo "REDIS_URL=redis://127.0.0.1:$REDIS_PORT/0"; }
redis_address() { echo "127.0.0.1:$REDIS_PORT"; }
redis_pid() { pid_of "$DEV_DIR/redis.pid" "$DEV_DIR/redis.conf"; }
redis_ready() { [[ $(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>/dev/null) == PONG ]] && redis_pid >/dev/null; }
redis_stop() { stop redis TERM; }
redis_revive() { return 1; }

redis_launch() {
  refuse_taken_port "$REDIS_PORT" REDIS_PORT
  mkdir -p "$DEV_DIR/redis"
  # Its title keeps the file's name, by which redis_pid knows it.
  cat >"$DEV_DIR/redis.conf" <<CONF
bind 127.0.0.1
port $REDIS_PORT
dir "$DEV_DIR/redis"
appendonly yes
save ""
maxmemory-policy noeviction
set-proc-title no
CONF
  launch redis redis-server "$DEV_DIR/redis.conf"
}
