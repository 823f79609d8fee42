//! The log on Apache Kafka, through librdkafka.
//!
//! Invariants:
//! * Nothing calls back into the caller. librdkafka serves rebalances inside a
//!   poll; our context only queues them (`context`), the caller answers later.
//! * Offsets are numbers. A logical offset on a cold client costs 500 ms and
//!   hides retention (`lanes`).
//! * A client's error is sorted into a [`LogError`] in one place (`triage`),
//!   its settings come from one table ([`settings`]).
//! * `unsafe` appears in one module (`native`).

pub mod settings;

mod admin;
mod appender;
mod cleanups;
mod context;
mod deliveries;
mod doubt;
mod fetch_ahead;
mod group;
mod lanes;
mod membership;
mod metadata;
mod native;
mod outgoing;
mod plain;
mod reader;
mod told;
mod topics;
mod triage;
mod txn;
mod upkeep;

use crate::error::LogError;
use crate::traits::{
    Admin, Appender, GroupConsumer, GroupOptions, Isolation, Log, Reader, TxnProducer, Visibility,
};

pub use settings::{GroupProtocol, KafkaOptions};

/// A Kafka cluster. Clients are made on demand; each has its own connections.
#[derive(Clone, Debug)]
pub struct KafkaLog {
    options: KafkaOptions,
}

impl KafkaLog {
    /// Connects to nothing yet: a wrong address shows in the first call of a
    /// client.
    pub fn new(options: KafkaOptions) -> Self {
        Self { options }
    }
}

impl Log for KafkaLog {
    fn admin(&self) -> Result<Box<dyn Admin>, LogError> {
        Ok(Box::new(admin::KafkaAdmin::connect(&self.options)?))
    }

    fn appender(&self, client_id: &str) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(appender::KafkaAppender::connect(&self.options, client_id)?))
    }

    fn txn_producer(
        &self,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<Box<dyn TxnProducer>, LogError> {
        let producer = txn::KafkaTxnProducer::connect(&self.options, client_id, transactional_id)?;
        Ok(Box::new(producer))
    }

    fn plain_producer(&self, client_id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        Ok(Box::new(plain::KafkaPlainProducer::connect(&self.options, client_id)?))
    }

    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError> {
        Ok(Box::new(group::KafkaGroupConsumer::connect(&self.options, options)?))
    }

    fn reader(
        &self,
        client_id: &str,
        isolation: Isolation,
        _visibility: Visibility,
    ) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(reader::KafkaReader::connect(&self.options, client_id, isolation)?))
    }

    fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }
}
