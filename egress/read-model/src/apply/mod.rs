//! One batch of the sink: offsets, rows and notifications in one transaction.

mod postgres;
mod sqlite;

use crate::batch::Batch;
use crate::database::{Backend, Database};
use crate::error::ReadModelError;
use crate::offsets::{Progress, Unreadable};

impl Database {
    /// Applies a batch exactly once: the offsets move in the same transaction,
    /// and a range somebody else has applied is [`ReadModelError::Fenced`]
    /// with nothing changed. Waiters are told after the commit.
    ///
    /// After any other error it isn't known whether the commit happened: read
    /// [`Database::offsets`] again and go on from there.
    pub async fn apply(
        &self,
        consumer: &str,
        progress: &[Progress],
        batch: &Batch,
        unreadable: &[Unreadable],
    ) -> Result<(), ReadModelError> {
        let applied = batch.applied();
        match self.backend() {
            Backend::Postgres(pool) => {
                postgres::apply(pool, consumer, progress, batch, unreadable, &applied).await?
            }
            Backend::Sqlite(connections) => {
                sqlite::apply(&connections.writer, consumer, progress, batch, unreadable).await?;
            }
        }
        self.applied().publish(&applied);
        Ok(())
    }
}
