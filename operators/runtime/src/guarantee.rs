//! Exactly once, or at least once: the one place where a worker knows the difference.
//!
//! | at least once | instead of |
//! |---|---|
//! | a plain producer: what is sent stays | a transaction |
//! | outputs are acknowledged before any changelog row is sent | both in one transaction |
//! | offsets are committed when all of that is acknowledged | offsets in the transaction |
//! | what failed goes through the log: the changelogs' tails, then the input again | abort, and the input again on the state in memory |
//!
//! Invariant: nobody takes the state of a task from its changelogs while something that this worker sent for it is still under
//! way. So memory, changelog and the next owner agree, whatever was sent and not committed. A changelog row stands for
//! outputs that are in the log: an operator that does nothing for what its state knows already loses none.
//!
//! What it can't do is keep a zombie out: a member that stood still while its tasks went to others sends what it had queued,
//! changelog rows too, before the group refuses its offsets.

use std::str::FromStr;

use log::error::LogError;
use log::traits::TxnProducer;
use operators::FailedAt;

use crate::error::WorkerError;
use crate::worker::{Slot, Worker};

/// How often what follows from a record may be there (`processing.guarantee`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Once, whatever fails.
    #[default]
    ExactlyOnce,
    /// Once, or more often where something failed; then state has counted it more than once, too. Without transactions:
    /// what is written is visible at once.
    AtLeastOnce,
}

/// By the names that Kafka Streams has for them.
impl FromStr for ProcessingGuarantee {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "exactly_once_v2" => Ok(Self::ExactlyOnce),
            "at_least_once" => Ok(Self::AtLeastOnce),
            _ => Err("expected exactly_once_v2 or at_least_once".to_owned()),
        }
    }
}

/// What must outlive the slot of a task that goes through the log, or a poison record would be tried for ever.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub(crate) failed_once: Vec<FailedAt>,
    pub(crate) stopped: Option<String>,
}

impl Worker {
    fn is_at_least_once(&self) -> bool {
        self.settings.guarantee == ProcessingGuarantee::AtLeastOnce
    }

    /// A producer that is ready to be used.
    pub(crate) fn open_producer(&self) -> Result<Box<dyn TxnProducer>, LogError> {
        let application = self.topology.application_id();
        let client_id = format!("{application}-producer");
        let mut producer = match self.settings.guarantee {
            ProcessingGuarantee::ExactlyOnce => {
                self.log.txn_producer(&client_id, &self.settings.transactional_id(application))?
            }
            ProcessingGuarantee::AtLeastOnce => self.log.plain_producer(&client_id)?,
        };
        producer.init()?;
        Ok(producer)
    }

    /// Before changelog rows are sent.
    pub(crate) fn deliver_outputs(&mut self) -> Result<(), LogError> {
        let waits = self.in_transaction && self.is_at_least_once();
        match &mut self.clients {
            Some(clients) if waits => clients.producer.flush(),
            _ => Ok(()),
        }
    }

    /// What is processed and not committed is processed again.
    pub(crate) fn replay(&mut self, now: i64) -> Result<(), WorkerError> {
        if !self.is_at_least_once() {
            return self.abort_and_replay(now);
        }
        for Slot { id, failed_once, stopped, .. } in &mut self.slots {
            let (failed_once, stopped) = (std::mem::take(failed_once), stopped.take());
            if !failed_once.is_empty() || stopped.is_some() {
                self.failures.insert(*id, Failures { failed_once, stopped });
            }
        }
        self.restart_from_log(now)
    }

    /// Nothing more of what was sent may come once this worker, or another, looks at the log. A transaction is ended by the
    /// next producer, and waited for.
    pub(crate) fn quiet(&mut self) {
        if !self.in_transaction || !self.is_at_least_once() {
            return;
        }
        if let Some(clients) = &mut self.clients
            && let Err(error) = clients.producer.abort()
        {
            tracing::warn!(application = self.topology.application_id(), %error, "giving up what was sent");
        }
    }
}
