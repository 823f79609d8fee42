# shellcheck shell=bash
# PostgreSQL 15 or newer. It refuses to run as root, so root starts it as the user `postgres`. Sourced by common.sh.

# As in the guide (R186–R188): a development database on the loopback interface.
POSTGRES_USER=orderuser
POSTGRES_PASSWORD=orderpass
POSTGRES_DATABASES=(orders_db orders_test_db)

# setpriv and env replace themselves by the program, so the pid noted is the server's.
AS_POSTGRES=(env)
((EUID != 0)) || AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups --)

postgres_address() { echo "127.0.0.1:$POSTGRES_PORT"; }
postgres_pid() { pid_of "$DEV_DIR/postgres/postmaster.pid" "$DEV_DIR/postgres"; }
# INT is PostgreSQL's fast shutdown: it doesn't wait for clients to leave.
postgres_stop() { stop postgres INT; }

postgres_env() {
  local url=postgresql://$POSTGRES_USER:$POSTGRES_PASSWORD@127.0.0.1:$POSTGRES_PORT
  printf '%s\n' "DATABASE_URL=$url/orders_db" "DATABASE_TEST_URL=$url/orders_test_db"
}

postgres_launch() {
  refuse_taken_port "$POSTGRES_PORT" POSTGRES_PORT
  postgres_initialise
  postgres_run
}

postgres_run() {
  launch postgres "${AS_POSTGRES[@]}" "$(postgres_bin)/postgres" -D "$DEV_DIR/postgres" \
    -c "port=$POSTGRES_PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200
}

# A fresh start right after kill -9 meets children that are still leaving; it works a moment later.
postgres_revive() {
  local pid
  pid=$(cat "$DEV_DIR/postgres.pid")
  ! kill -0 "$pid" 2>/dev/null || return 0 # started, its own pid file not written yet
  grep -qs -e 'pre-existing shared memory block' -e 'lock file .* already exists' "$DEV_DIR/postgres.log" || return 1
  sleep 0.5
  postgres_run
}

postgres_ready() {
  "$(postgres_bin)/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" && postgres_pid >/dev/null && postgres_databases
}

postgres_databases() {
  local database
  for database in "${POSTGRES_DATABASES[@]}"; do
    [[ $(psql_dev -tAc "SELECT 1 FROM pg_database WHERE datname = '$database'") == 1 ]] ||
      psql_dev -qc "CREATE DATABASE $database" || return 1
  done
}

psql_dev() {
  PGPASSWORD=$POSTGRES_PASSWORD "$(postgres_bin)/psql" -X -h 127.0.0.1 -p "$POSTGRES_PORT" -U "$POSTGRES_USER" -d postgres "$@" 2>>"$DEV_DIR/postgres.log"
}

postgres_initialise() {
  [[ ! -e $DEV_DIR/postgres/PG_VERSION ]] || return 0
  rm -rf "$DEV_DIR/postgres"
  mkdir -p "$DEV_DIR/postgres"
  if ((EUID == 0)); then chown postgres: "$DEV_DIR/postgres"; fi
  as_postgres test -w "$DEV_DIR/postgres" ||
    die "the user postgres can't reach $DEV_DIR: set DEV_DIR to a folder it may enter"
  echo "$POSTGRES_PASSWORD" >"$DEV_DIR/postgres.password"
  as_postgres "$(postgres_bin)/initdb" -D "$DEV_DIR/postgres" -U "$POSTGRES_USER" --auth=scram-sha-256 \
    --pwfile="$DEV_DIR/postgres.password" -E UTF8 --no-locale >"$DEV_DIR/postgres.log" 2>&1 || {
    rm -rf "$DEV_DIR/postgres"
    fail_with_log postgres "initdb failed"
  }
}

as_postgres() { (cd / && "${AS_POSTGRES[@]}" "$@"); }
