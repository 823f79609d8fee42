//! Reading topics from a stored place, on a thread of its own.
//!
//! Invariant: a place is (log, topic incarnation, partition, offset). A place
//! that the log doesn't have is refused with a remedy, never guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use log::{Admin, Isolation, Log, Reader, TopicPartition, Visibility};
use read_model::{Database, Progress, StoredOffset};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::EgressError;

/// Every partition of some topics as the log has them now.
#[derive(Debug)]
pub(crate) struct Extent {
    /// Where each begins, with its identity.
    pub(crate) starts: Vec<StoredOffset>,
    /// Next offset to be written, in the same order.
    pub(crate) ends: Vec<i64>,
}

/// Looks the topics up. All must exist.
pub(crate) fn extent(admin: &dyn Admin, topics: &[&'static str]) -> Result<Extent, EgressError> {
    let log_id = admin.log_id()?;
    let mut places = Vec::new();
    let mut identities = Vec::new();
    for (topic, found) in topics.iter().zip(admin.describe(topics)?) {
        let found = found.ok_or_else(|| EgressError::NoTopic((*topic).to_owned()))?;
        let name: Arc<str> = Arc::from(*topic);
        for partition in 0..found.partitions {
            places.push(TopicPartition { topic: Arc::clone(&name), partition });
            identities.push(found.id.clone());
        }
    }
    let starts = admin.start_offsets(&places)?;
    let ends = admin.end_offsets(&places, Isolation::ReadUncommitted)?;
    let starts = places
        .into_iter()
        .zip(identities)
        .zip(starts)
        .map(|((place, topic_id), next_offset)| StoredOffset {
            topic: place.topic.to_string(),
            partition: i32::try_from(place.partition).unwrap_or(i32::MAX),
            log_id: log_id.clone(),
            topic_id,
            next_offset,
        })
        .collect();
    Ok(Extent { starts, ends })
}

/// Where a reader goes on: its stored places, checked against the log, and the
/// log's beginning for partitions it has never read.
pub(crate) fn resume(
    consumer: &str,
    extent: &Extent,
    stored: &[StoredOffset],
    remedy: &'static str,
) -> Result<Vec<StoredOffset>, EgressError> {
    let mut places = Vec::with_capacity(extent.starts.len());
    for (start, end) in extent.starts.iter().zip(&extent.ends) {
        let known = stored
            .iter()
            .find(|known| known.topic == start.topic && known.partition == start.partition);
        let Some(known) = known else {
            places.push(start.clone());
            continue;
        };
        // Empty: the broker didn't tell, now or then.
        let told = !known.topic_id.is_empty() && !start.topic_id.is_empty();
        if known.log_id != start.log_id || (told && known.topic_id != start.topic_id) {
            let what = format!(
                "stored {}/{}, found {}/{}",
                known.log_id, known.topic_id, start.log_id, start.topic_id
            );
            return Err(EgressError::Foreign {
                consumer: consumer.to_owned(),
                topic: start.topic.clone(),
                what,
                remedy,
            });
        }
        if known.next_offset < start.next_offset || known.next_offset > *end {
            return Err(EgressError::Outside {
                consumer: consumer.to_owned(),
                topic: start.topic.clone(),
                partition: partition(start),
                stored: known.next_offset,
                start: start.next_offset,
                end: *end,
                remedy,
            });
        }
        places.push(known.clone());
    }
    Ok(places)
}

fn partition(place: &StoredOffset) -> u32 {
    u32::try_from(place.partition).unwrap_or_default()
}

/// A reader with the places it has applied up to.
pub(crate) struct Positions {
    places: BTreeMap<(String, u32), StoredOffset>,
}

impl Positions {
    /// Checks and stores the places of `consumer`, and assigns `reader` there.
    pub(crate) fn open(
        consumer: &str,
        topics: &[&'static str],
        admin: &dyn Admin,
        reader: &mut dyn Reader,
        (database, handle): (&Database, &Handle),
        remedy: &'static str,
    ) -> Result<Self, EgressError> {
        let extent = extent(admin, topics)?;
        let stored = handle.block_on(database.offsets(consumer))?;
        let places = resume(consumer, &extent, &stored, remedy)?;
        handle.block_on(database.begin_at(consumer, &places))?;
        let assigned: Vec<_> = places
            .iter()
            .map(|place| {
                (TopicPartition::new(place.topic.as_str(), partition(place)), place.next_offset)
            })
            .collect();
        reader.assign(&assigned)?;
        let places = places
            .into_iter()
            .map(|place| ((place.topic.clone(), partition(&place)), place))
            .collect();
        Ok(Self { places })
    }

    /// The steps that a batch makes: per partition its last offset + 1.
    pub(crate) fn steps(&self, next: &BTreeMap<(String, u32), i64>) -> Vec<Progress> {
        next.iter()
            .filter_map(|(place, next)| {
                Some(Progress { from: self.places.get(place)?.clone(), next: *next })
            })
            .collect()
    }

    /// The steps were committed.
    pub(crate) fn advance(&mut self, steps: &[Progress]) {
        for step in steps {
            if let Some(place) =
                self.places.get_mut(&(step.from.topic.clone(), partition(&step.from)))
            {
                place.next_offset = step.next;
            }
        }
    }
}

/// A read-committed reader of what is durable, woken when the role shuts down.
pub(crate) fn reader(
    log: &dyn Log,
    client_id: &str,
    handle: &Handle,
    shutdown: &CancellationToken,
) -> Result<Box<dyn Reader>, EgressError> {
    let reader = log.reader(client_id, Isolation::ReadCommitted, Visibility::Durable)?;
    let (waker, shutdown) = (reader.waker(), shutdown.clone());
    handle.spawn(async move {
        shutdown.cancelled().await;
        waker();
    });
    Ok(reader)
}

/// Runs blocking work on a named thread; the future ends when it does. The
/// work watches `shutdown` itself.
pub(crate) async fn on_thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce(&Handle) -> Result<T, EgressError> + Send + 'static,
) -> Result<T, EgressError> {
    let handle = Handle::current();
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _receiver_gone = done.send(work(&handle));
        })
        .map_err(|error| EgressError::Thread { name, what: error.to_string() })?;
    ended.await.unwrap_or_else(|_| {
        Err(EgressError::Thread { name, what: "panicked; see the log above".to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(log: &str, next_offset: i64) -> StoredOffset {
        StoredOffset {
            topic: "t".to_owned(),
            partition: 0,
            log_id: log.to_owned(),
            topic_id: "x".to_owned(),
            next_offset,
        }
    }

    #[test]
    fn a_place_the_log_does_not_have_is_refused() {
        let extent = Extent { starts: vec![place("a", 5)], ends: vec![9] };
        let at = |stored: &[StoredOffset]| resume("sink", &extent, stored, "remedy");
        assert_eq!(at(&[]).unwrap(), [place("a", 5)], "never read: from the beginning");
        assert_eq!(at(&[place("a", 9)]).unwrap(), [place("a", 9)], "at the end");
        assert!(
            matches!(at(&[place("a", 10)]), Err(EgressError::Outside { .. })),
            "beyond the end"
        );
        assert!(
            matches!(at(&[place("a", 4)]), Err(EgressError::Outside { .. })),
            "before the beginning"
        );
        assert!(matches!(at(&[place("b", 6)]), Err(EgressError::Foreign { .. })), "another log");
        let id = |id: &str| StoredOffset { topic_id: id.to_owned(), ..place("a", 6) };
        assert!(matches!(at(&[id("y")]), Err(EgressError::Foreign { .. })), "another topic");
        assert_eq!(at(&[id("")]).unwrap(), [id("")], "the broker didn't tell");
    }
}
