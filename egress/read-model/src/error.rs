//! What can go wrong between this process and the database.

/// A failure of the read model.
#[derive(Debug, thiserror::Error)]
pub enum ReadModelError {
    /// `DATABASE_URL` names no database this system speaks to.
    #[error(
        "DATABASE_URL: {0}; expected postgres://user:password@host/database or sqlite://path/to/file"
    )]
    Url(String),
    /// The database refused or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("database migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what no version of this program writes.
    #[error("table {table}: {what}; run `orders sink rebuild`")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The file's folder could not be made.
    #[error("cannot make the folder {folder} of the SQLite file: {source}")]
    Folder {
        /// Which folder.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Somebody else moved the offset row since it was read: this range has
    /// been applied, or is being applied, by another writer.
    #[error(
        "{topic}[{partition}]: another writer has moved the offset of {consumer} from {expected}"
    )]
    Fenced {
        /// Whose offset.
        consumer: String,
        /// Topic of the range.
        topic: String,
        /// Partition of the range.
        partition: u32,
        /// Where the range begins.
        expected: i64,
    },
}

impl ReadModelError {
    /// True where the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Database(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Tls(_) => true,
                sqlx::Error::Database(inner) => {
                    // Connection trouble, serialization, deadlock, too many
                    // connections, shutdown; SQLite busy and locked.
                    inner.code().is_some_and(|code| {
                        ["08", "40", "53", "57"]
                            .iter()
                            .any(|class| code.len() == 5 && code.starts_with(class))
                            || matches!(&*code, "5" | "6" | "261" | "517")
                    })
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// True where the values themselves were refused (out of range, a
    /// character the database can't hold, a constraint): no repeat helps.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        let Self::Database(sqlx::Error::Database(inner)) = self else { return false };
        // SQLSTATE classes data exception and integrity violation; SQLite's
        // too big, constraint and mismatch (low byte of the extended code).
        inner.code().is_some_and(|code| match code.len() {
            5 => code.starts_with("22") || code.starts_with("23"),
            _ => code.parse::<i64>().is_ok_and(|number| matches!(number & 0xff, 18..=20)),
        })
    }
}
