//! A log whose transactions are timed: from the offsets to the end, which is what a record waits for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use load_tests::figures::micros;
use log::error::LogError;
use log::record::{NewRecord, TopicPartition};
use log::traits::{
    Admin, Appender, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log, Reader,
    TxnProducer, Visibility,
};

/// Shared by all producers of a log.
pub(crate) type Times = Arc<Mutex<Histogram<u64>>>;

/// See the module's page; everything else is the log's own.
pub(crate) struct TimedLog {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) commits: Times,
}

impl TimedLog {
    fn timed(&self, producer: Box<dyn TxnProducer>) -> Box<dyn TxnProducer> {
        let (commits, ending) = (Arc::clone(&self.commits), None);
        Box::new(TimedProducer { producer, commits, ending })
    }
}

impl Log for TimedLog {
    fn admin(&self) -> Result<Box<dyn Admin>, LogError> {
        self.log.admin()
    }

    fn appender(&self, client_id: &str) -> Result<Box<dyn Appender>, LogError> {
        self.log.appender(client_id)
    }

    fn txn_producer(&self, client_id: &str, id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        Ok(self.timed(self.log.txn_producer(client_id, id)?))
    }

    fn plain_producer(&self, client_id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        Ok(self.timed(self.log.plain_producer(client_id)?))
    }

    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.log.group_consumer(options)
    }

    fn reader(
        &self,
        client_id: &str,
        isolation: Isolation,
        visibility: Visibility,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(client_id, isolation, visibility)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.log.sync()
    }
}

struct TimedProducer {
    producer: Box<dyn TxnProducer>,
    commits: Times,
    /// When the offsets of the open transaction were sent.
    ending: Option<Instant>,
}

impl TxnProducer for TimedProducer {
    fn init(&mut self) -> Result<(), LogError> {
        self.producer.init()
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.ending = None;
        self.producer.begin()
    }

    fn send(&mut self, topic: &str, partition: u32, record: NewRecord<'_>) -> Result<(), LogError> {
        self.producer.send(topic, partition, record)
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.ending.get_or_insert_with(Instant::now);
        self.producer.send_offsets(offsets, group)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.producer.flush()
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.producer.commit()?;
        if let Some(ending) = self.ending.take() {
            let mut times = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
            times.saturating_record(micros(ending.elapsed()));
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.ending = None;
        self.producer.abort()
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<i64> {
        self.producer.acknowledged(at)
    }
}
