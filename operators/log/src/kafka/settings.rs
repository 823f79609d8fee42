//! Every client setting we choose, with the reason. Measured on Kafka 4.3.1 with
//! librdkafka 2.12.1 unless it says otherwise; what isn't here is librdkafka's
//! default.
//!
//! | client | setting | why |
//! |---|---|---|
//! | all | `topic.metadata.refresh.interval.ms` 2000 | a topic unknown at subscribe is otherwise absent for 5 minutes and breaks co-partitioning |
//! | all | `allow.auto.create.topics` false | for a producer or admin client librdkafka's default is true: asking for a missing topic would make it, with the broker's partitions and retention |
//! | readers | `fetch.wait.max.ms` 50 | everything a consumer asks of a broker, seek and abort included, waits behind its long poll (default 500); also how long after its last record a reader learns that it is level, because librdkafka tells only on an empty answer: 51 ms, at 20 21 ms, at 10 11 ms, for about 0.5 % of a core more per idle client |
//! | readers | `fetch.queue.backoff.ms` 10 | the default second makes a restore 4 times slower |
//! | readers | `queued.min.messages` 3000, `max.partition.fetch.bytes` 256 KiB, both less for many partitions | what is fetched ahead stays in the processor's caches: a pass-through of three partitions takes 47 MiB instead of 78 and 30 % less CPU; a larger record is fetched all the same. And all partitions together stay within [`KafkaOptions::fetch_bytes`] |
//! | readers | `retry.backoff.ms` 5 | offsets right after an abort: worst 8 ms instead of 125 |
//! | readers | `auto.offset.reset` error | a lost offset is a fact to report, not to skip |
//! | readers | `enable.partition.eof` | markers leave holes; the end-of-partition event is how a reader knows it is level |
//! | classic groups | `range`, heartbeat 300 ms | keeps partition *n* of all topics together; four members join in 0.6 s instead of 3 |
//! | static members | `group.instance.id` | only where asked for: a restart within the session timeout moves nothing |
//! | KIP-848 groups | remote assignor `range` | the same; session and heartbeat are the broker's |
//! | producers | `acks=all`, idempotent | nothing acknowledged is lost or doubled |
//! | transactions | `retry.backoff.ms` 1 | back-to-back transactions meet CONCURRENT_TRANSACTIONS: p99 115 → 4 ms. Whoever sends a record then waits for 20 ms, whatever this says (`rd_kafka_txn_handle_AddPartitionsToTxn`): a worker begins its next transaction a little later |
//! | transactions | `linger.ms` 5000 | a batch goes when it is full, the rest when the flush before a commit lifts this. With less, librdkafka's thread polls without a pause while records older than this wait for an earlier batch of their partition to be acknowledged: at 1 twice the CPU, at 50 and with a busy broker ten times |
//! | transactions | `transaction.timeout.ms` 10000 | Kafka Streams' value: how long a dead instance may hold readers up |
//! | at least once | those of transactions without `transactional.id` | the same batches, flushed before the offsets are committed |
//! | appender | `linger.ms` 1 | a caller waits for the acknowledgement |
//! | transactions | `queue.buffering.max.messages` and `.kbytes` by [`KafkaOptions::send_bytes`], `batch.num.messages` an eighth | a full queue holds up the worker; smaller batches leave before it is full |
//! | producers | `message.max.bytes` 8 MiB | batches; one record may have [`MAX_RECORD_BYTES`] |

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::traits::{GroupOptions, Isolation};

use super::fetch_ahead::FetchAhead;

/// Largest record that is sent: key, value and headers together. An order with
/// 1,000 lines has about 1 MB as an event.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;

/// `message.max.bytes` of producers and `max.message.bytes` of our topics:
/// counts a whole batch, and leaves outside tools room.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// librdkafka's memory for a record that waits to be sent, beside its bytes, with the record of a hundred bytes it is mostly
/// about.
const SENT_BYTES: usize = 400;

/// How members of a group agree on who reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members assign (`range`). Every broker since 0.10 knows it.
    #[default]
    Classic,
    /// The broker assigns (KIP-848, `range`); brokers since 4.0.
    Consumer,
}

/// How to reach a cluster.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// For worker groups.
    pub group_protocol: GroupProtocol,
    /// How long a producer tries to deliver a record.
    pub delivery_timeout: Duration,
    /// How long a transaction may be open before the broker aborts it.
    pub transaction_timeout: Duration,
    /// How long calls that ask the cluster something wait for the answer.
    pub request_timeout: Duration,
    /// Memory for what one consumer has fetched ahead, all its partitions together.
    pub fetch_bytes: usize,
    /// Memory for what one producer of transactions has to send. A full queue holds up who sends.
    pub send_bytes: usize,
    /// More librdkafka settings, such as `security.protocol`. They win over ours.
    pub more: Vec<(String, String)>,
}

/// Without the values of `more`, where passwords are.
impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more: Vec<_> = self.more.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_protocol", &self.group_protocol)
            .field("delivery_timeout", &self.delivery_timeout)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("fetch_bytes", &self.fetch_bytes)
            .field("send_bytes", &self.send_bytes)
            .field("more", &more)
            .finish()
    }
}

impl KafkaOptions {
    /// A cluster with the defaults.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_protocol: GroupProtocol::default(),
            delivery_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            fetch_bytes: 8 << 20,
            send_bytes: 16 << 20,
            more: Vec::new(),
        }
    }

    /// All settings of a group's member: for comparing with another client.
    pub fn member_settings(&self, options: &GroupOptions) -> Vec<(String, String)> {
        listed(&self.member(options, self.fetch_ahead(1)))
    }

    /// All settings of a producer of transactions: for comparing with another client.
    pub fn transaction_settings(
        &self,
        client_id: &str,
        transactional_id: &str,
    ) -> Vec<(String, String)> {
        listed(&self.transactions(client_id, transactional_id))
    }

    fn client(&self, client_id: &str, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            .set("topic.metadata.refresh.interval.ms", "2000")
            .set("socket.keepalive.enable", "true")
            .set("allow.auto.create.topics", "false");
        for (name, value) in ours {
            config.set(*name, *value);
        }
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.more {
            config.set(name, value);
        }
        config
    }

    /// For creating and describing.
    pub(super) fn admin(&self) -> ClientConfig {
        self.finish(self.client("orders-admin", &[]))
    }

    /// For asking for offsets only: no group, nothing is read.
    pub(super) fn asking(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.consumer("orders-admin", "", isolation, self.fetch_ahead(1));
        config.remove("group.id");
        self.finish(config)
    }

    /// For reading assigned partitions, or asking for offsets of `group`.
    pub(super) fn reader(
        &self,
        client_id: &str,
        group: &str,
        isolation: Isolation,
        ahead: FetchAhead,
    ) -> ClientConfig {
        self.finish(self.consumer(client_id, group, isolation, ahead))
    }

    /// Of a consumer of so many partitions.
    pub(super) fn fetch_ahead(&self, partitions: usize) -> FetchAhead {
        FetchAhead::of(self.fetch_bytes, partitions)
    }

    fn consumer(
        &self,
        client_id: &str,
        group: &str,
        isolation: Isolation,
        ahead: FetchAhead,
    ) -> ClientConfig {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let mut config = self.client(
            client_id,
            &[
                ("group.id", group),
                ("isolation.level", isolation),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("enable.partition.eof", "true"),
                ("fetch.wait.max.ms", "50"),
                ("fetch.min.bytes", "1"),
                ("fetch.queue.backoff.ms", "10"),
                ("fetch.error.backoff.ms", "20"),
                ("retry.backoff.ms", "5"),
            ],
        );
        ahead.apply(&mut config);
        config
    }

    /// For a member of a worker group.
    pub(super) fn member(&self, options: &GroupOptions, ahead: FetchAhead) -> ClientConfig {
        let (client_id, group) = (&options.client_id, &options.group);
        let mut config = self.consumer(client_id, group, Isolation::ReadCommitted, ahead);
        // librdkafka refuses a poll interval below the session timeout.
        let interval = options.max_poll_interval.max(options.session_timeout);
        config.set("max.poll.interval.ms", interval.as_millis().to_string());
        if let Some(id) = &options.instance_id {
            config.set("group.instance.id", id);
        }
        match self.group_protocol {
            GroupProtocol::Classic => {
                let heartbeat = (options.session_timeout / 3).min(Duration::from_millis(300));
                config
                    .set("partition.assignment.strategy", "range")
                    .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
                    .set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer").set("group.remote.assignor", "range");
            }
        }
        self.finish(config)
    }

    fn producer(&self, client_id: &str, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.client(client_id, ours);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MAX_BATCH_BYTES.to_string());
        config
    }

    /// For transactions.
    pub(super) fn transactions(&self, client_id: &str, transactional_id: &str) -> ClientConfig {
        let mut config = self.batches(client_id);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string());
        self.finish(config)
    }

    /// For what transactions have, without them.
    pub(super) fn plain(&self, client_id: &str) -> ClientConfig {
        self.finish(self.batches(client_id))
    }

    fn batches(&self, client_id: &str) -> ClientConfig {
        let mut config = self.producer(client_id, &[("retry.backoff.ms", "1")]);
        // A record can't be waited for longer than its transaction lives.
        let delivery = self.delivery_timeout.min(self.transaction_timeout);
        let messages = (self.send_bytes / SENT_BYTES).max(1_000);
        config
            .set("queue.buffering.max.messages", messages.to_string())
            .set("queue.buffering.max.kbytes", (self.send_bytes >> 10).max(4 << 10).to_string())
            .set("batch.num.messages", (messages / 8).min(10_000).to_string())
            .set("message.timeout.ms", delivery.as_millis().to_string())
            .set("linger.ms", (delivery / 2).as_millis().to_string());
        config
    }

    /// For single acknowledged appends.
    pub(super) fn appender(&self, client_id: &str) -> ClientConfig {
        let mut config =
            self.producer(client_id, &[("linger.ms", "1"), ("retry.backoff.ms", "10")]);
        config.set("queue.buffering.max.messages", "200000");
        config.set("message.timeout.ms", self.delivery_timeout.as_millis().to_string());
        self.finish(config)
    }
}

fn listed(config: &ClientConfig) -> Vec<(String, String)> {
    let settings = config.config_map().into_iter();
    settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_makes_topics_by_asking_for_them() {
        let options = KafkaOptions::new("localhost:9092");
        let member = GroupOptions {
            group: "g".to_owned(),
            client_id: "c".to_owned(),
            session_timeout: Duration::from_secs(6),
            max_poll_interval: Duration::from_secs(60),
            instance_id: None,
        };
        let clients = [
            options.admin(),
            options.asking(Isolation::ReadCommitted),
            options.reader("c", "g", Isolation::ReadUncommitted, options.fetch_ahead(1)),
            options.member(&member, options.fetch_ahead(1)),
            options.transactions("c", "t"),
            options.appender("c"),
        ];
        for client in clients {
            assert_eq!(client.get("allow.auto.create.topics"), Some("false"), "{client:?}");
        }
    }

    #[test]
    fn passwords_stay_out_of_what_is_printed() {
        let mut options = KafkaOptions::new("localhost:9092");
        options.more.push(("sasl.password".to_owned(), "hunter2".to_owned()));
        let printed = format!("{options:?} {:?}", super::super::KafkaLog::new(options.clone()));
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"), "{printed}");
    }
}
