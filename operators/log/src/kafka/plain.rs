//! A producer without transactions, for at least once.
//!
//! Invariant: offsets are committed when everything that was sent before them is acknowledged, by the group's own consumer,
//! and only while it is in the generation in which they were sent. Between that look and the broker's answer a member may
//! still be thrown out; the broker then refuses it, unless its group is empty.

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::{Producer, PurgeConfig};

use crate::error::LogError;
use crate::record::{NewRecord, TopicPartition};
use crate::traits::{GroupMetadata, TxnProducer};

use super::membership::{committer, standing};
use super::metadata::with_offsets;
use super::settings::KafkaOptions;
use super::triage::sort;
use super::txn::{FLUSH_MARGIN, KafkaTxnProducer, OFFSETS_MARGIN, within};

/// Sends as a producer of transactions does, and never begins one.
pub(super) struct KafkaPlainProducer {
    sender: KafkaTxnProducer,
    options: KafkaOptions,
    offsets: Vec<(GroupMetadata, Vec<(TopicPartition, i64)>)>,
}

impl KafkaPlainProducer {
    pub(super) fn connect(options: &KafkaOptions, client_id: &str) -> Result<Self, LogError> {
        let sender = KafkaTxnProducer::with(options, options.plain(client_id), client_id)?;
        Ok(Self { sender, options: options.clone(), offsets: Vec::new() })
    }

    fn commit_offsets(
        &self,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), LogError> {
        // librdkafka calls an empty list an error.
        if offsets.is_empty() {
            return Ok(());
        }
        let (list, consumer) = (with_offsets(offsets)?, committer(group)?);
        let doing = format!("group {}: committing offsets", group.group);
        let patience = self.options.request_timeout + OFFSETS_MARGIN;
        let sent = within(patience, move || consumer.commit(&list, CommitMode::Sync));
        match sent {
            Err(error) => Err(LogError::Retriable(format!("{doing}: no thread: {error}"))),
            Ok(None) => Err(LogError::Unknown(format!("{doing}: no answer"))),
            Ok(Some(done)) => done.map_err(|error| sort(&error, doing)),
        }
    }
}

impl TxnProducer for KafkaPlainProducer {
    fn init(&mut self) -> Result<(), LogError> {
        self.sender.look_for_brokers()
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.offsets.clear();
        self.sender.settle()?;
        self.sender.count_anew();
        Ok(())
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        self.sender.send(topic, partition, record)
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        standing(group)?;
        self.offsets.push((group.clone(), offsets.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.sender.flush()
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.flush()?;
        for (group, offsets) in &self.offsets {
            self.commit_offsets(group, offsets)?;
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.offsets.clear();
        self.sender.producer.purge(PurgeConfig::default().queue());
        let patience = self.options.delivery_timeout + FLUSH_MARGIN;
        if let Err(error) = self.sender.producer.flush(patience) {
            tracing::warn!(%error, "what was under way may still arrive");
        }
        // What was purged has left a gap in the sequence numbers.
        self.sender.replace_client()
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        self.sender.acknowledged(at)
    }
}
