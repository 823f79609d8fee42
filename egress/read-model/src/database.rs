//! One door to Postgres or SQLite.
//!
//! Invariant: SQLite has one writer connection per durability, so that our own
//! transactions never meet `SQLITE_BUSY`; readers see the last commit (WAL).

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};

use crate::applied::Applied;
use crate::error::ReadModelError;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Connections for readers (Postgres: for everything). At least 1.
    pub connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self { connections: 10, acquire_timeout: Duration::from_secs(5) }
    }
}

/// Connections to one SQLite file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    /// Read only.
    pub readers: SqlitePool,
    /// The one writer of what can be derived from the log again: survives
    /// `kill -9`, and after a power loss goes back to an earlier commit.
    pub writer: SqlitePool,
    /// The one writer of what exists nowhere else (accounts): synced before a
    /// commit returns.
    pub durable: SqlitePool,
}

/// Which database.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A server, several processes.
    Postgres(PgPool),
    /// A file, one process.
    Sqlite(Sqlite),
}

/// The read model's database. Cheap to clone; clones share connections and
/// notifications.
#[derive(Clone, Debug)]
pub struct Database {
    backend: Backend,
    applied: Applied,
}

impl Database {
    /// Opens `postgres://…` or `sqlite://path` (made with its folder if it
    /// isn't there). Call [`Self::migrate`] next.
    pub async fn connect(url: &str, options: &DatabaseOptions) -> Result<Self, ReadModelError> {
        let backend = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let connect = PgConnectOptions::from_str(url)
                .map_err(|error| ReadModelError::Url(error.to_string()))?;
            let pool = PgPoolOptions::new()
                .max_connections(options.connections.max(2))
                .acquire_timeout(options.acquire_timeout)
                .connect_with(connect.application_name("orders"))
                .await?;
            Backend::Postgres(pool)
        } else if let Some(path) =
            url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))
        {
            // Options such as `?mode=rwc` are other clients': ours are fixed.
            let path = path.split('?').next().unwrap_or(path);
            Backend::Sqlite(open_sqlite(Path::new(path), options).await?)
        } else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(ReadModelError::Url(format!("unknown scheme {scheme:?}")));
        };
        Ok(Self { backend, applied: Applied::default() })
    }

    /// Brings the tables up to date. Safe to call from several processes at
    /// once (advisory lock on Postgres) and when there is nothing to do.
    pub async fn migrate(&self) -> Result<(), ReadModelError> {
        self.migrate_with(&POSTGRES, &SQLITE).await
    }

    /// The same for another crate's own tables, each with its own history
    /// table (`Migrator::dangerous_set_table_name`).
    pub async fn migrate_with(
        &self,
        postgres: &sqlx::migrate::Migrator,
        sqlite: &sqlx::migrate::Migrator,
    ) -> Result<(), ReadModelError> {
        match &self.backend {
            Backend::Postgres(pool) => postgres.run(pool).await?,
            Backend::Sqlite(connections) => sqlite.run(&connections.durable).await?,
        }
        Ok(())
    }

    /// Answers when the database does: for readiness.
    pub async fn ping(&self) -> Result<(), ReadModelError> {
        crate::dialect::on_reader!(self, |pool, _dialect| {
            sqlx::query("SELECT 1").execute(pool).await?;
            Ok(())
        })
    }

    /// Postgres or SQLite, for a crate's own queries.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What the sink has written, as it writes it. On Postgres start
    /// [`crate::listen`](crate::listen()) too, so that other processes' writes arrive.
    #[must_use]
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Ends all connections after their current work.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Postgres(pool) => pool.close().await,
            Backend::Sqlite(connections) => {
                connections.readers.close().await;
                connections.writer.close().await;
                connections.durable.close().await;
            }
        }
    }
}

async fn open_sqlite(path: &Path, options: &DatabaseOptions) -> Result<Sqlite, ReadModelError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| ReadModelError::Folder {
            folder: folder.display().to_string(),
            source,
        })?;
    }
    let base = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(true);
    let pool = |connections: u32| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.acquire_timeout)
    };
    let durable = pool(1).connect_with(base.clone().synchronous(SqliteSynchronous::Full)).await?;
    let writer = pool(1).connect_with(base.clone().synchronous(SqliteSynchronous::Normal)).await?;
    let readers =
        pool(options.connections.max(1)).connect_with(base.pragma("query_only", "on")).await?;
    Ok(Sqlite { readers, writer, durable })
}
