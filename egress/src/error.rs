//! What ends a role of the egress, and what only interrupts it.

use log::LogError;
use read_model::ReadModelError;
use schemas::avro::AvroError;

/// A failure of a role.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database.
    #[error(transparent)]
    Database(#[from] ReadModelError),
    /// The schema registry didn't answer; the record may be good.
    #[error("{topic}[{partition}] offset {offset}: {source}")]
    Schema {
        /// Topic of the record.
        topic: String,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: i64,
        /// What the registry said.
        source: AvroError,
    },
    /// The codecs could not be built.
    #[error("schemas: {0}")]
    Codecs(AvroError),
    /// A topic isn't there.
    #[error("topic {0} does not exist; start `orders` with a role that creates the topics first")]
    NoTopic(String),
    /// The stored offsets belong to another log or an earlier topic.
    #[error(
        "{topic}: the rows of {consumer} come from another log or an earlier topic of that name ({what}); {remedy}"
    )]
    Foreign {
        /// Which reader.
        consumer: String,
        /// Which topic.
        topic: String,
        /// What differs.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The stored offset lies outside what the log holds.
    #[error(
        "{topic}[{partition}]: the stored offset {stored} of {consumer} lies outside the log's {start}..{end}; {remedy}"
    )]
    Outside {
        /// Which reader.
        consumer: String,
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: u32,
        /// Where the reader stands.
        stored: i64,
        /// First offset of the log.
        start: i64,
        /// Next offset to be written.
        end: i64,
        /// What to do.
        remedy: &'static str,
    },
    /// The role's thread could not be started or died.
    #[error("thread {name}: {what}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What happened.
        what: String,
    },
    /// A socket could not be bound or served.
    #[error("{address}: {source}")]
    Server {
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The HTTP client of the webhooks could not be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl EgressError {
    /// True where the role should try again by itself.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Log(LogError::Retriable(_) | LogError::Unknown(_)) | Self::Schema { .. } => true,
            Self::Database(error) => error.is_retriable() || self.is_fenced(),
            _ => false,
        }
    }

    /// True where another writer is ahead.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Database(ReadModelError::Fenced { .. }))
    }
}
