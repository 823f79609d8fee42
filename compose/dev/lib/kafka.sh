# shellcheck shell=bash
# Apache Kafka: one KRaft node, broker and controller in one process. Sourced by common.sh.

: "${KAFKA_HEAP_MB:=512}"

kafka_env() { echo "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$KAFKA_PORT"; }
kafka_pid() { pid_of "$DEV_DIR/kafka.pid" "$DEV_DIR/kafka.properties"; }
kafka_address() { echo "127.0.0.1:$KAFKA_PORT"; }
kafka_stop() { stop kafka TERM; }
kafka_revive() { return 1; }

# The port opens before the broker answers; its log says when it does.
kafka_ready() { grep -qs 'Kafka Server started' "$DEV_DIR/kafka.log" && port_open "$KAFKA_PORT"; }

kafka_launch() {
  refuse_taken_port "$KAFKA_PORT" KAFKA_PORT
  refuse_taken_port "$KAFKA_CONTROLLER_PORT" KAFKA_CONTROLLER_PORT
  in_range "$KAFKA_HEAP_MB" 256 1024 ||
    die "KAFKA_HEAP_MB='$KAFKA_HEAP_MB': choose 256 to 1024"
  kafka_jars
  kafka_properties >"$DEV_DIR/kafka.properties"
  kafka_format
  launch kafka "$(java_command)" "-Xms${KAFKA_HEAP_MB}m" "-Xmx${KAFKA_HEAP_MB}m" -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true "-Dlog4j2.configurationFile=$HERE/log4j2.properties" \
    -cp "$KAFKA_JARS/*" kafka.Kafka "$DEV_DIR/kafka.properties"
}

# Gives the data folder its cluster id, once.
kafka_format() {
  [[ ! -e $DEV_DIR/kafka/meta.properties ]] || return 0
  local id
  id=$(kafka_storage random-uuid 2>/dev/null) || die "kafka.tools.StorageTool doesn't run: $(kafka_storage random-uuid 2>&1 | tail -n 3)"
  kafka_storage format --cluster-id "$id" --config "$DEV_DIR/kafka.properties" >"$DEV_DIR/kafka.log" 2>&1 ||
    fail_with_log kafka "kafka can't format $DEV_DIR/kafka"
}

kafka_storage() {
  "$(java_command)" -Xmx128m "-Dlog4j2.configurationFile=$HERE/log4j2.properties" -cp "$KAFKA_JARS/*" kafka.tools.StorageTool "$@"
}

# Small where a default costs memory or files on one node; quick where a default is made for many.
kafka_properties() {
  cat <<PROPERTIES
# Written by compose/dev/up at every start.
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
log.dirs=$DEV_DIR/kafka
auto.create.topics.enable=false
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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
