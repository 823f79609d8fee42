//! Work that one process at a time should do.
//!
//! This keeps others quiet, it doesn't keep them out: a process that lost its
//! connection without noticing goes on for a moment. What must happen once is
//! fenced by the stored offsets ([`crate::ReadModelError::Fenced`]).

use sqlx::PgConnection;

use crate::database::{Backend, Database};
use crate::error::ReadModelError;

/// Held until dropped or until the process dies.
#[derive(Debug)]
pub struct Held {
    /// The advisory lock lives as long as this connection; none on SQLite,
    /// whose file one process has.
    _connection: Option<PgConnection>,
}

impl Database {
    /// Takes the role of this name; none while another process has it.
    pub async fn hold(&self, name: &str) -> Result<Option<Held>, ReadModelError> {
        let Backend::Postgres(pool) = self.backend() else {
            return Ok(Some(Held { _connection: None }));
        };
        let mut connection = pool.acquire().await?;
        // Systems in schemas of one database don't meet.
        let taken: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ':role:' || $1, 0))",
        )
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
        Ok(taken.then(|| Held { _connection: Some(connection.detach()) }))
    }
}
