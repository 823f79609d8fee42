# shellcheck shell=bash
# Which Debian packages are missing, and installing them. Sourced by common.sh.

# Newest of the versions Debian keeps side by side; otherwise what the path has.
postgres_bin() {
  local dir
  dir=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  if [[ -x $dir/postgres ]]; then echo "$dir"; else dirname "$(command -v postgres || echo /missing/postgres)"; fi
}

java_command() { if [[ ${JAVA_HOME-} && -x $JAVA_HOME/bin/java ]]; then echo "$JAVA_HOME/bin/java"; else echo java; fi; }

major() { sed -E 's/^[^0-9]*([0-9]+).*/\1/;q'; }
at_least() { [[ $2 =~ ^[0-9]+$ ]] && (($2 >= $1)); }

java_17() { have "$(java_command)" && at_least 17 "$("$(java_command)" -version 2>&1 | major)"; }
postgres_15() { [[ -x $(postgres_bin)/initdb ]] && at_least 15 "$("$(postgres_bin)/postgres" --version | major)"; }
redis_7() { have redis-server && have redis-cli && at_least 7 "$(redis-server --version | major)"; }

# missing WHAT…: the packages that kafka, postgres, redis, build (compiling the workspace) or tests (readers in Python) lack.
missing() {
  local what
  for what in "$@"; do
    case $what in
      kafka)
        java_17 || echo default-jre-headless
        have mvn || echo maven
        ;;
      postgres) postgres_15 || echo postgresql ;;
      redis) redis_7 || echo redis-server ;;
      build)
        have g++ && have make || echo build-essential
        [[ -e /usr/include/zlib.h ]] || echo zlib1g-dev
        # Not libclang-cpp.so, which a machine may have without the library bindgen loads.
        compgen -G '/usr/lib/llvm-*/lib/libclang[.-][0-9s]*' >/dev/null || echo libclang-dev
        ;;
      tests)
        have python3 && python3 -c 'import ensurepip' 2>/dev/null || printf '%s\n' python3 python3-venv
        ;;
    esac
  done
}

# Installs what is missing: asks a person at the terminal, just does it without one; through sudo unless root already.
install_missing() {
  local packages answer command
  mapfile -t packages < <(missing "$@")
  ((${#packages[@]})) || return 0
  say "missing Debian packages: ${packages[*]}"
  [[ ! " ${packages[*]} " =~ " "(postgresql|redis-server)" " ]] ||
    say "Debian's postgresql and redis-server also start system services of their own (ports 5432, 6379); we don't use those"
  have apt-get || die "this isn't Debian: install the equivalents of the packages above by hand"
  command="apt-get install --no-install-recommends ${packages[*]}"
  ((EUID == 0)) || have sudo || die "sudo is missing; run this as root, then again: $command"
  if [[ -t 0 ]]; then
    answer=
    read -r -p "install them now? [y/N] " answer || true
    [[ $answer == [yY]* ]] || die "nothing installed; to do it yourself: $command"
  fi
  become_root || die "sudo refuses; run this as root, then again: $command"
  "${SUDO[@]}" apt-get update -qq >&2 || say "apt-get update failed; going on with the lists that are here"
  "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2 ||
    die "apt-get failed; see above"
  hash -r
  mapfile -t packages < <(missing "$@")
  ((${#packages[@]} == 0)) || die "still missing after installing: ${packages[*]} (is this Debian 12 or newer?)"
}

# Sets SUDO to what goes before a command. Without a terminal sudo may not ask for a password.
become_root() {
  SUDO=(env)
  ((EUID != 0)) || return 0
  SUDO=(sudo)
  [[ -t 0 ]] || SUDO=(sudo -n)
  "${SUDO[@]}" true
}
