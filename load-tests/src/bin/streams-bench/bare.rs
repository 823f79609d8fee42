//! Pass-through by hand: what the bare client takes for consume → produce → commit, with the settings of our clients.
//!
//! Exactly once as far as it goes: offsets in the transaction, one commit per interval. It has no rebalance, no error
//! handling, no policy; it is the floor that a runtime can come near to.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use load_tests::process::Snapshot;
use log::traits::GroupOptions;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{TopicPartitionList, error::KafkaError, types::RDKafkaErrorCode as Code};
use serde_json::{Value, json};

use crate::options::Options;
use crate::{report, topics};

type Sender = ThreadedProducer<DefaultProducerContext>;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Options, began: &Snapshot) -> Result<Value> {
    let mut fields = report::describe(options);
    let (input, output) = (options.topic("in"), options.out_topic("out"));
    let log = options.log();
    let admin = log.admin()?;
    topics::ensure_kept(admin.as_ref(), &[&output], options.partitions)?;
    let ends = topics::ends_of(admin.as_ref(), std::slice::from_ref(&input))?;
    let records: i64 = ends.iter().map(|(_, end)| *end).sum();

    let consumer: BaseConsumer = member(options).create()?;
    consumer.subscribe(&[&input])?;
    let mut config =
        client(&options.broker.options().transaction_settings("bare", &options.app_id()));
    // Ours relies on a flush that lifts it, which this client doesn't have.
    config.set("linger.ms", options.commit_interval_ms.to_string());
    let producer: Sender = config.create()?;
    producer.init_transactions(TIMEOUT)?;
    let mut next = vec![0; ends.len()];
    let (mut passed, mut first) = (0, None);
    while passed < records {
        producer.begin_transaction()?;
        let interval = Duration::from_millis(options.commit_interval_ms.unsigned_abs());
        passed += pass(&consumer, &producer, &output, (&mut next, &mut first), interval)?;
        commit(&consumer, &producer, &input, &next)?;
    }
    let first = first.context("no record came")?;
    report::add_cost(&mut fields, records.unsigned_abs(), began, &first);
    fields.insert("complete".to_owned(), json!(true));
    drop((consumer, producer));
    if options.verify {
        let outputs = topics::count(log.as_ref(), admin.as_ref(), &[output])?;
        fields.insert("outputs".to_owned(), json!(outputs));
    }
    if !options.keep {
        topics::forget(options)?;
    }
    Ok(Value::Object(fields))
}

fn client<'s>(settings: impl IntoIterator<Item = &'s (String, String)>) -> ClientConfig {
    settings.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn member(options: &Options) -> ClientConfig {
    let member = GroupOptions {
        group: format!("{}-group", options.app_id()),
        client_id: "0000-bare".to_owned(),
        session_timeout: Duration::from_secs(6),
        max_poll_interval: Duration::from_secs(300),
        instance_id: None,
    };
    let mut config = client(&options.broker.options().member_settings(&member));
    config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "false");
    config
}

/// Passes on what comes until the interval is over; how many that were.
fn pass(
    consumer: &BaseConsumer,
    producer: &Sender,
    output: &str,
    (next, first): (&mut [i64], &mut Option<Snapshot>),
    interval: Duration,
) -> Result<i64> {
    let begun = Instant::now();
    let mut passed = 0;
    while passed == 0 || begun.elapsed() < interval {
        let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
        let message = message?;
        first.get_or_insert_with(Snapshot::now);
        let place = usize::try_from(message.partition())?;
        *next.get_mut(place).context("more partitions than the topic had")? = message.offset() + 1;
        let mut record = BaseRecord::to(output)
            .partition(message.partition())
            .key(message.key().unwrap_or_default())
            .payload(message.payload().unwrap_or_default())
            .timestamp(message.timestamp().to_millis().unwrap_or(1));
        while let Err((error, back)) = producer.send(record) {
            ensure!(error == KafkaError::MessageProduction(Code::QueueFull), "sending: {error}");
            thread::sleep(Duration::from_micros(500));
            record = back;
        }
        passed += 1;
    }
    Ok(passed)
}

fn commit(consumer: &BaseConsumer, producer: &Sender, input: &str, next: &[i64]) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(next) {
        offsets.add_partition_offset(input, partition, Offset::Offset(*offset))?;
    }
    let group = consumer.group_metadata().context("not a member of the group")?;
    producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT)?;
    // The client's own flush waits in steps of 100 ms.
    while producer.in_flight_count() > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(producer.commit_transaction(TIMEOUT)?)
}
