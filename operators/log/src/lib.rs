//! The one door to the log. (placeholder page)

#[cfg(feature = "contract")]
pub mod contract;
pub mod embedded;
pub mod error;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod record;
pub mod topic;
pub mod traits;

pub use error::LogError;
pub use record::{ConsumedRecord, Header, NewRecord, TopicPartition};
pub use topic::{Cleanup, TopicDescription, TopicSpec};
pub use traits::{
    Admin, Appended, Appender, GroupConsumer, GroupMetadata, GroupOptions, Isolation, Log,
    NativeGroup, Polled, Reader, TxnProducer, Visibility, Waker,
};
