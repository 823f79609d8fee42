//! The ingress's own tables in the read model's database.
//!
//! Invariant: accounts exist nowhere else, so on SQLite they are written through
//! the connection that syncs before a commit returns.

use read_model::{Database, ReadModelError};

/// Brings the account tables up to date. Safe from several processes at once.
///
/// # Errors
/// The database can't be reached or its history is another program's.
pub(crate) async fn migrate(database: &Database) -> Result<(), ReadModelError> {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.dangerous_set_table_name("_ingress_migrations");
    database.migrate_with(&migrations, &migrations).await
}

/// Runs an expression with a pool for reading, once per database type.
macro_rules! reading {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database.backend() {
            read_model::Backend::Postgres($pool) => $body,
            read_model::Backend::Sqlite(connections) => {
                let $pool = &connections.readers;
                $body
            }
        }
    };
}

/// The same with a pool for writing.
macro_rules! writing {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database.backend() {
            read_model::Backend::Postgres($pool) => $body,
            read_model::Backend::Sqlite(connections) => {
                let $pool = &connections.durable;
                $body
            }
        }
    };
}

pub(crate) use {reading, writing};
