# shellcheck shell=bash
# Apache Kafka: one KRaft node or three, each broker and controller in one process. Sourced by common.sh.
#
# The first node is the service `kafka`, the others are `kafka-2` and `kafka-3`: services of their own, each with its data,
# log and pid file, so that one of them can be stopped, killed or halted (compose/dev/broker).

: "${KAFKA_HEAP_MB:=512}"
KAFKA_END=TERM

# kafka_services: the services of the instance's nodes, a line each.
kafka_services() {
  echo kafka
  [[ $KAFKA_NODES == 1 ]] || printf '%s\n' kafka-2 kafka-3
}

# Adds the other nodes behind the first, where that is wanted.
add_nodes() {
  local service services=()
  in_range "$KAFKA_NODES" 1 3 && [[ $KAFKA_NODES != 2 ]] || die "KAFKA_NODES='$KAFKA_NODES': choose 1 or 3"
  for service in "${SERVICES[@]}"; do
    if [[ $service == kafka ]]; then mapfile -t -O "${#services[@]}" services < <(kafka_services); else services+=("$service"); fi
  done
  SERVICES=("${services[@]}")
}

kafka_env() {
  local service addresses=()
  while read -r service; do addresses+=("$(node_address "$service")"); done < <(kafka_services)
  (IFS=, && echo "KAFKA_BOOTSTRAP_SERVERS=${addresses[*]}")
}
kafka-2_env() { :; }
kafka-3_env() { :; }
kafka_pid() { node_pid kafka; }
kafka-2_pid() { node_pid kafka-2; }
kafka-3_pid() { node_pid kafka-3; }
kafka_address() { node_address kafka; }
kafka-2_address() { node_address kafka-2; }
kafka-3_address() { node_address kafka-3; }
kafka_stop() { stop kafka "$KAFKA_END"; }
kafka-2_stop() { stop kafka-2 "$KAFKA_END"; }
kafka-3_stop() { stop kafka-3 "$KAFKA_END"; }
kafka_revive() { return 1; }
kafka-2_revive() { return 1; }
kafka-3_revive() { return 1; }
kafka_ready() { node_ready kafka; }
kafka-2_ready() { node_ready kafka-2; }
kafka-3_ready() { node_ready kafka-3; }
kafka_launch() { node_launch kafka; }
kafka-2_launch() { node_launch kafka-2; }
kafka-3_launch() { node_launch kafka-3; }

node_number() { case $1 in kafka) echo 1 ;; *) echo "${1#kafka-}" ;; esac; }
# Two ports for each node, within the instance's group of ten.
node_port() { echo $((KAFKA_PORT + 2 * ($(node_number "$1") - 1))); }
node_controller_port() { echo $((KAFKA_CONTROLLER_PORT + 2 * ($(node_number "$1") - 1))); }
node_address() { echo "127.0.0.1:$(node_port "$1")"; }
node_pid() { pid_of "$DEV_DIR/$1.pid" "$DEV_DIR/$1.properties"; }

# The port opens before the broker answers; its log says when it does.
node_ready() { grep -qs 'Kafka Server started' "$DEV_DIR/$1.log" && port_open "$(node_port "$1")"; }

node_launch() {
  refuse_taken_port "$(node_port "$1")" KAFKA_PORT
  refuse_taken_port "$(node_controller_port "$1")" KAFKA_CONTROLLER_PORT
  in_range "$KAFKA_HEAP_MB" 256 1024 ||
    die "KAFKA_HEAP_MB='$KAFKA_HEAP_MB': choose 256 to 1024"
  kafka_jars
  { kafka_properties "$1" && printf '%s\n' "${KAFKA_PROPERTIES-}"; } >"$DEV_DIR/$1.properties"
  node_format "$1"
  launch "$1" "$(java_command)" "-Xms${KAFKA_HEAP_MB}m" "-Xmx${KAFKA_HEAP_MB}m" -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true "-Dlog4j2.configurationFile=$HERE/log4j2.properties" \
    -cp "$KAFKA_JARS/*" kafka.Kafka "$DEV_DIR/$1.properties"
}

# Gives a node's data folder the cluster's id, once.
node_format() {
  [[ ! -e $DEV_DIR/$1/meta.properties ]] || return 0
  if [[ ! -s $DEV_DIR/kafka.cluster ]]; then
    # It logs to the same output first.
    (set -o pipefail && kafka_storage random-uuid 2>/dev/null | tail -n 1 >"$DEV_DIR/kafka.cluster") ||
      die "kafka.tools.StorageTool doesn't run: $(kafka_storage random-uuid 2>&1 | tail -n 3)"
  fi
  kafka_storage format --cluster-id "$(<"$DEV_DIR/kafka.cluster")" --config "$DEV_DIR/$1.properties" >"$DEV_DIR/$1.log" 2>&1 ||
    fail_with_log "$1" "kafka can't format $DEV_DIR/$1"
}

kafka_storage() {
  "$(java_command)" -Xmx128m "-Dlog4j2.configurationFile=$HERE/log4j2.properties" -cp "$KAFKA_JARS/*" kafka.tools.StorageTool "$@"
}

# kafka_properties SERVICE: small where a default costs memory or files on one machine; quick where a default is made for many.
kafka_properties() {
  local service voters=() in_sync=$(((KAFKA_NODES + 1) / 2))
  while read -r service; do
    voters+=("$(node_number "$service")@127.0.0.1:$(node_controller_port "$service")")
  done < <(kafka_services)
  cat <<PROPERTIES
# Written by compose/dev/up at every start.
process.roles=broker,controller
node.id=$(node_number "$1")
listeners=PLAINTEXT://$(node_address "$1"),CONTROLLER://127.0.0.1:$(node_controller_port "$1")
advertised.listeners=PLAINTEXT://$(node_address "$1")
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=$(IFS=, && echo "${voters[*]}")
log.dirs=$DEV_DIR/$1
auto.create.topics.enable=false
num.partitions=3
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$KAFKA_NODES
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=$KAFKA_NODES
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=$KAFKA_NODES
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
# After kill -9 a new broker waits until its predecessor's session is over.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
# KIP-848 groups: the defaults notice a crash after 45 s.
group.consumer.min.heartbeat.interval.ms=300
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=6000
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
PROPERTIES
}

# Brings the pinned jars into a cache shared by all instances. Maven checks the repository's checksums
# (-C); kafka.sha256 says which bytes we mean.
kafka_jars() {
  local pin cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/orders-dev fresh
  pin=$(sha256sum "$HERE/kafka.sha256")
  KAFKA_JARS=$cache/kafka-${pin:0:16}
  [[ ! -d $KAFKA_JARS ]] || return 0
  mkdir -p "$cache"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  fetch_jars "$fresh"
  check_jars "$fresh"
  mv -T "$fresh" "$KAFKA_JARS" 2>/dev/null || rm -rf "$fresh" # somebody else was quicker
}

fetch_jars() {
  say "fetching Kafka $(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$HERE/pom.xml") from Maven Central (once)"
  mvn -q -B -C -Dstyle.color=never -f "$HERE/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1" >&2 ||
    { rm -rf "$1"; die "Maven couldn't fetch Kafka's jars; it needs https://repo1.maven.org or a mirror in ~/.m2/settings.xml"; }
}

check_jars() {
  local problem
  problem=$(cd "$1" && { sha256sum --check --strict --quiet "$HERE/kafka.sha256" 2>&1 ||
    true; diff <(printf '%s\n' *.jar | sort) <(awk '{print $2}' "$HERE/kafka.sha256" | sort) || true; })
  [[ -z $problem ]] || { rm -rf "$1"; die "the jars aren't those of compose/dev/kafka.sha256; nothing was started:
$problem"; }
}
