//! Why a query has no answer: each reason with a code for programs and a sentence for people.

use log::error::LogError;
use log::record::TopicPartition;
use state_stores::StoreError;

/// A query has no answer for this reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The process doesn't run the application.
    #[error("this process doesn't run {application}; it runs {}", listed(.here))]
    UnknownApplication {
        /// Who was asked for.
        application: String,
        /// Who is here.
        here: Vec<String>,
    },
    /// The application has no such store.
    #[error("{application} has no store `{store}`; its stores are {}", .stores.join(", "))]
    UnknownStore {
        /// `application.id`.
        application: String,
        /// What was asked for.
        store: String,
        /// What can be asked for.
        stores: Vec<String>,
    },
    /// The query contradicts itself or the store.
    #[error("{0}")]
    Invalid(String),
    /// The worker hasn't read its topics' partition counts yet.
    #[error("{application} is starting; ask again in a moment")]
    Starting {
        /// `application.id`.
        application: String,
    },
    /// Nobody owns the partition, as far as anybody knows.
    #[error(
        "partition {partition} of store `{store}` of {application} has no owner now: no member has taken it up, or it \
         is moving; ask again in a moment"
    )]
    NoOwner {
        /// `application.id`.
        application: String,
        /// The store's name.
        store: String,
        /// Of the store.
        partition: u32,
    },
    /// The query was passed on to this member, which isn't the owner.
    #[error(
        "instance {instance} of {application} was asked as the owner of partition {partition} and isn't; a query is \
         passed on once only: ask again in a moment"
    )]
    NotTheOwner {
        /// `application.id`.
        application: String,
        /// Who was asked.
        instance: String,
        /// Of the store.
        partition: u32,
    },
    /// The query was passed on to this member, which neither owns the partition nor has a standby that can be asked.
    #[error(
        "instance {instance} of {application} has no standby of partition {partition} that can be asked; ask again in a \
         moment"
    )]
    NoStandby {
        /// `application.id`.
        application: String,
        /// Who was asked.
        instance: String,
        /// Of the store.
        partition: u32,
    },
    /// The query was passed on to another instance, under an address that both tell.
    #[error(
        "instance {instance} of {application} was asked in place of instance {meant}: both tell the same address; \
         ADMIN_ADVERTISED_ADDR of each must be where the others reach it"
    )]
    AnotherInstance {
        /// `application.id`.
        application: String,
        /// Who was asked.
        instance: String,
        /// Who was to be asked.
        meant: String,
    },
    /// The owner tells no address.
    #[error(
        "instance {instance} owns partition {partition} and tells no address where it can be asked: set \
         ADMIN_ADVERTISED_ADDR for it"
    )]
    NoAddress {
        /// The owner.
        instance: String,
        /// Of the store.
        partition: u32,
    },
    /// The owner doesn't answer.
    #[error(
        "instance {instance} at {address} owns partition {partition} and can't be reached ({reason}); if it is dead, \
         another one takes over within the session timeout"
    )]
    Unreachable {
        /// The owner.
        instance: String,
        /// Its admin endpoint.
        address: String,
        /// Of the store.
        partition: u32,
        /// What the attempt said.
        reason: String,
    },
    /// The store hasn't seen an offset that the query asks for.
    #[error(
        "not caught up: the store's position in {at} is {position} after {waited_ms} ms, the query asks for a state \
         with offset {wanted}"
    )]
    NotCaughtUp {
        /// The input.
        at: TopicPartition,
        /// The next offset it will read.
        position: i64,
        /// What was to be covered.
        wanted: i64,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The rows weren't found in time.
    #[error(
        "store `{store}` wasn't read to the end within {within_ms} ms: ask for less, with a narrower range of keys"
    )]
    TimedOut {
        /// The store's name.
        store: String,
        /// What the query had.
        within_ms: u64,
    },
    /// The program failed at it.
    #[error("the query failed; the log of the process says why")]
    Failed,
    /// As many queries are at work as may be.
    #[error("too many queries at once; ask again in a moment")]
    Busy,
    /// The caller may not ask.
    #[error("{0}")]
    Refused(&'static str),
    /// The members' topic can't be read.
    #[error("the members of {application} can't be read: {source}")]
    Log {
        /// `application.id`.
        application: String,
        /// What the log said.
        source: LogError,
    },
    /// The store can't be read.
    #[error(transparent)]
    State(#[from] StoreError),
    /// What another member answered.
    #[error("{detail}")]
    Told {
        /// HTTP status.
        status: u16,
        /// Its code.
        code: String,
        /// Its sentence.
        detail: String,
    },
}

impl QueryError {
    /// For programs; never changes.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::UnknownApplication { .. } => "application_unknown",
            Self::UnknownStore { .. } => "store_unknown",
            Self::Invalid(_) => "query_invalid",
            Self::Starting { .. } => "starting",
            Self::NoOwner { .. } => "no_owner",
            Self::NotTheOwner { .. } => "not_the_owner",
            Self::NoStandby { .. } => "no_standby",
            Self::AnotherInstance { .. } => "another_instance",
            Self::Unreachable { .. } | Self::NoAddress { .. } => "owner_unreachable",
            Self::NotCaughtUp { .. } => "not_caught_up",
            Self::TimedOut { .. } => "timed_out",
            Self::Failed => "query_failed",
            Self::Busy => "busy",
            Self::Refused(_) => "refused",
            Self::Log { .. } => "log_unavailable",
            Self::State(_) => "store_failed",
            Self::Told { code, .. } => code,
        }
    }

    /// Whether another member may answer instead, as one that has a standby.
    pub(crate) fn is_of_who_was_asked(&self) -> bool {
        matches!(self.status(), 421 | 503)
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownApplication { .. } | Self::UnknownStore { .. } => 404,
            Self::Invalid(_) => 422,
            Self::Refused(_) => 403,
            Self::AnotherInstance { .. } => 421,
            Self::NotCaughtUp { .. } | Self::TimedOut { .. } => 504,
            Self::State(_) | Self::Failed => 500,
            Self::Told { status, .. } => *status,
            Self::Starting { .. }
            | Self::NoOwner { .. }
            | Self::NotTheOwner { .. }
            | Self::NoStandby { .. }
            | Self::Unreachable { .. }
            | Self::NoAddress { .. }
            | Self::Busy
            | Self::Log { .. } => 503,
        }
    }
}

fn listed(applications: &[String]) -> String {
    if applications.is_empty() { "none".to_owned() } else { applications.join(", ") }
}
