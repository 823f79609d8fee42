//! What the members' topic says of who owns what and who is there.
//!
//! A member's own record names the tasks it took up, and stays when its process is killed. Its standing, a second record,
//! is said again and again: who hasn't said anything for two session timeouts isn't there.

use std::collections::BTreeMap;

use log::record::ConsumedRecord;

use crate::members::{Member, Standing};
use crate::standby::placement::Place;
use crate::worker::client_id;

/// The members of one application, as read so far.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Next offset of the topic to read.
    pub(super) next: Option<i64>,
    /// By key, with the record's offset.
    claims: BTreeMap<Vec<u8>, (i64, Member)>,
    /// By key, with the record's time.
    standings: BTreeMap<Vec<u8>, (i64, Standing)>,
}

impl View {
    /// Takes a record of the topic.
    pub(super) fn take(&mut self, record: &ConsumedRecord<'_>) {
        self.next = Some(record.offset + 1);
        let Some(key) = record.key else { return };
        let text = record.value.unwrap_or_default();
        if let Ok(member) = serde_json::from_slice(text) {
            self.claims.insert(key.to_vec(), (record.offset, member));
        } else if let Ok(standing) = serde_json::from_slice(text) {
            self.standings.insert(key.to_vec(), (record.timestamp, standing));
        } else {
            self.claims.remove(key);
            self.standings.remove(key);
        }
    }

    /// The instance that took each task up last.
    pub(super) fn owners(&self) -> BTreeMap<&str, &str> {
        let mut claims: Vec<_> = self.claims.values().collect();
        claims.sort_by_key(|(offset, _)| *offset);
        let tasks = claims.into_iter().flat_map(|(_, member)| {
            member.tasks.iter().map(|task| (task.as_str(), member.instance.as_str()))
        });
        tasks.collect()
    }

    /// Who has said something since `oldest_ms`, in the order of `range`.
    pub(super) fn present(&self, application: &str, oldest_ms: i64) -> Vec<Place> {
        let there = self.standings.values().filter(|(said_ms, _)| *said_ms >= oldest_ms);
        let mut places: Vec<Place> = there
            .map(|(_, Standing { instance, thread, .. })| Place {
                client_id: client_id(application, instance, *thread) + "-",
                instance: instance.clone(),
            })
            .collect();
        places.sort();
        places
    }
}
