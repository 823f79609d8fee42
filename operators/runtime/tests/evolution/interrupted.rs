//! A log on which something happens between a worker's look at the manifest and its joining the group.

use std::sync::{Arc, Mutex};

use log::{
    Admin, Appender, GroupConsumer, GroupOptions, Isolation, Log, LogError, Reader, TxnProducer,
    Visibility,
};

use crate::hazy::{Answers, Hazy};

/// What happens.
pub(crate) type Meanwhile = Box<dyn FnOnce(Arc<dyn Log>) + Send>;

pub(crate) struct Interrupted {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) meanwhile: Mutex<Option<Meanwhile>>,
    /// How its broker answers.
    pub(crate) answers: Answers,
}

impl Log for Interrupted {
    fn group_consumer(&self, options: &GroupOptions) -> Result<Box<dyn GroupConsumer>, LogError> {
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile(Arc::clone(&self.log));
        }
        self.log.group_consumer(options)
    }

    fn admin(&self) -> Result<Box<dyn Admin>, LogError> {
        let answers = Arc::clone(&self.answers);
        Ok(Box::new(Hazy { admin: self.log.admin()?, answers }))
    }

    fn appender(&self, client_id: &str) -> Result<Box<dyn Appender>, LogError> {
        self.log.appender(client_id)
    }

    fn txn_producer(&self, client: &str, id: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        self.log.txn_producer(client, id)
    }

    fn plain_producer(&self, client: &str) -> Result<Box<dyn TxnProducer>, LogError> {
        self.log.plain_producer(client)
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
