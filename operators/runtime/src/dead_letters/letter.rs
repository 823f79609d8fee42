//! A dead letter as a person reads it: where the record was, why it failed, the record itself.

use std::fmt;
use std::str::FromStr;

use log::record::ConsumedRecord;

/// Where a letter lies in `dead_letters`: written `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// Partition of `dead_letters`.
    pub partition: u32,
    /// Offset in it.
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// Not a [`LetterId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no dead letter's id; ids look like 0:17 (partition:offset)")]
pub struct BadLetterId(String);

impl FromStr for LetterId {
    type Err = BadLetterId;

    fn from_str(text: &str) -> Result<Self, BadLetterId> {
        let parts = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        parts.filter(|id| id.offset >= 0).ok_or_else(|| BadLetterId(text.to_owned()))
    }
}

/// A record that couldn't be processed (KIP-1034).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it lies.
    pub id: LetterId,
    /// When it was put aside (ms since 1970).
    pub buried_ms: i64,
    /// `application.id` of who couldn't process it.
    pub application: String,
    /// The operator, or the consumer outside the topology.
    pub node: String,
    /// The kind of failure: `deserialization`, `processing`, `production`, …
    pub exception: String,
    /// What went wrong.
    pub message: String,
    /// Where the record was read, or, of an output that no topic takes, where it should go.
    pub topic: String,
    /// None for an output.
    pub partition: Option<u32>,
    /// None for an output.
    pub offset: Option<i64>,
    /// The record's own time (ms since 1970), if it is known.
    pub timestamp: Option<i64>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value; None also for one that was too large to keep.
    pub value: Option<Vec<u8>>,
    /// The record's own headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

pub(super) const SETTLED: &str = "orders.dead-letter.settled";
pub(super) const HOW: &str = "orders.dead-letter.how";
pub(super) const REPLAYED: &str = "orders.dead-letter.replayed";

/// What stands in a partition of `dead_letters`.
pub(super) enum Entry {
    Letter(Box<DeadLetter>),
    /// The letter at this offset of the same partition is done with.
    Settled(i64),
}

pub(super) fn read(record: &ConsumedRecord<'_>) -> Entry {
    let text = |name: &str| {
        let found = record.headers.iter().rfind(|(own, _)| *own == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    if let Some(offset) = text(SETTLED).and_then(|offset| offset.parse().ok()) {
        return Entry::Settled(offset);
    }
    let said = |name| text(name).unwrap_or_default();
    let number = |name: &str| text(name)?.parse().ok();
    Entry::Letter(Box::new(DeadLetter {
        id: LetterId { partition: record.partition, offset: record.offset },
        buried_ms: record.timestamp,
        application: said("orders.application"),
        node: said("orders.node"),
        exception: said("__streams.errors.exception"),
        message: said("__streams.errors.message"),
        topic: said("__streams.errors.topic"),
        partition: number("__streams.errors.partition").and_then(|n: i64| n.try_into().ok()),
        offset: number("__streams.errors.offset"),
        timestamp: number("orders.timestamp"),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: own_headers(record.headers),
    }))
}

/// Without what burying added.
fn own_headers(headers: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let added = |name: &str| {
        name.starts_with("__streams.errors.")
            || matches!(name, "orders.application" | "orders.node" | "orders.timestamp")
    };
    let own = headers.iter().filter(|(name, _)| !added(name));
    own.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = LetterId { partition: 2, offset: 17 };
        assert_eq!((id.to_string().as_str(), "2:17".parse()), ("2:17", Ok(id)));
        for bad in ["", "2", "2:", ":17", "2:-1", "-1:2", "a:b", "2:17:1"] {
            let told = bad.parse::<LetterId>().unwrap_err().to_string();
            assert!(told.contains(&format!("`{bad}`")), "{told}");
        }
    }
}
