//! What the members' topic says: who owns what, who is there, who keeps a standby of what.
//!
//! A member's own record, its claim, names the tasks it took up, and stays when its process is killed. Its standing, a
//! second record, is said again and again: who hasn't said anything for two session timeouts isn't there.
//!
//! Invariant: of two claims to a task the one of the group's later assignment counts, in whichever order they came into
//! the topic: a claim may come late, or be written again by a member that was put out of the group and hasn't heard of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use log::record::ConsumedRecord;

use super::{Member, Standing};

/// A claim that is so much younger counts whatever its epoch: a group that was removed begins to count anew, and nobody
/// who was put out of one writes after so long.
const ANEW_MS: i64 = 24 * 3_600_000;

/// The members of one application, as read so far.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    /// Next offset of the topic to read.
    pub(crate) next: Option<i64>,
    /// By key.
    claims: BTreeMap<Vec<u8>, Claim>,
    /// By key, with the record's time.
    standings: BTreeMap<Vec<u8>, (i64, Standing)>,
}

#[derive(Debug)]
struct Claim {
    offset: i64,
    timestamp: i64,
    member: Member,
}

impl Claim {
    /// Whether this one, later in the topic, counts before the other.
    fn supersedes(&self, other: &Self) -> bool {
        match (self.member.epoch, other.member.epoch) {
            (Some(own), Some(others)) if own < others => {
                self.timestamp.saturating_sub(other.timestamp) > ANEW_MS
            }
            _ => true,
        }
    }
}

impl Roll {
    /// Takes a record of the topic.
    pub(crate) fn take(&mut self, record: &ConsumedRecord<'_>) {
        self.next = Some(record.offset + 1);
        let Some(key) = record.key else { return };
        let (offset, timestamp) = (record.offset, record.timestamp);
        let text = record.value.unwrap_or_default();
        if let Ok(member) = serde_json::from_slice(text) {
            self.claims.insert(key.to_vec(), Claim { offset, timestamp, member });
        } else if let Ok(standing) = serde_json::from_slice(text) {
            self.standings.insert(key.to_vec(), (timestamp, standing));
        } else {
            self.claims.remove(key);
            self.standings.remove(key);
        }
    }

    /// The members, the latest record last.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.in_order().into_iter().map(|claim| &claim.member)
    }

    /// Who took each task up last.
    pub(crate) fn owners(&self) -> BTreeMap<&str, &Member> {
        let mut owners: BTreeMap<&str, &Claim> = BTreeMap::new();
        for claim in self.in_order() {
            for task in &claim.member.tasks {
                let known = owners.entry(task).or_insert(claim);
                if claim.supersedes(known) {
                    *known = claim;
                }
            }
        }
        owners.into_iter().map(|(task, claim)| (task, &claim.member)).collect()
    }

    /// Who has said something since `oldest_ms`.
    pub(crate) fn present(&self, oldest_ms: i64) -> impl Iterator<Item = &Standing> {
        self.since(oldest_ms).map(|(_, standing)| standing)
    }

    fn since(&self, oldest_ms: i64) -> impl Iterator<Item = &(i64, Standing)> {
        self.standings.values().filter(move |(said_ms, _)| *said_ms >= oldest_ms)
    }

    /// Who said last that it keeps a standby of the task, and where it can be asked: the least behind first, then who was
    /// heard last. Who was silent for so long while others spoke comes behind them: it may be dead, or another's clock
    /// may be ahead.
    pub(crate) fn keepers(&self, task: &str, silence_ms: i64) -> Vec<&Standing> {
        let newest_ms = self.standings.values().map(|(said_ms, _)| *said_ms).max().unwrap_or(0);
        let oldest_ms = newest_ms.saturating_sub(silence_ms);
        let keeps = |(said_ms, standing): &'_ (i64, Standing)| {
            let lag = *standing.standbys.get(task)?;
            let is_silent = *said_ms < oldest_ms;
            let order = (is_silent, lag.is_none(), lag, Reverse(*said_ms));
            (!standing.address.is_empty()).then_some(order)
        };
        let found = self.standings.values().filter_map(|it| Some((keeps(it)?, &it.1)));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, standing)| standing).collect()
    }

    fn in_order(&self) -> Vec<&Claim> {
        let mut claims: Vec<&Claim> = self.claims.values().collect();
        claims.sort_by_key(|claim| claim.offset);
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        roll: &mut Roll,
        offset: i64,
        name: &str,
        value: &impl serde::Serialize,
        timestamp: i64,
    ) {
        let value = serde_json::to_vec(value).unwrap();
        let (key, value) = (Some(name.as_bytes()), Some(&*value));
        let (topic, partition, headers) = ("app-members", 0, &[][..]);
        roll.take(&ConsumedRecord { topic, partition, offset, timestamp, key, value, headers });
    }

    /// A roll of these records: key, epoch, time; each claims task `0_0`.
    fn owner(records: &[(&str, Option<i32>, i64)]) -> String {
        let mut roll = Roll::default();
        for (offset, (name, epoch, timestamp)) in (0..).zip(records) {
            let member = Member {
                application: "app".to_owned(),
                instance: (*name).to_owned(),
                address: String::new(),
                tasks: vec!["0_0".to_owned()],
                epoch: *epoch,
            };
            take(&mut roll, offset, name, &member, *timestamp);
        }
        roll.owners()["0_0"].instance.clone()
    }

    #[test]
    fn the_later_assignment_counts_not_the_later_record() {
        assert_eq!(owner(&[("a", Some(1), 0), ("b", Some(2), 10)]), "b");
        assert_eq!(owner(&[("b", Some(2), 10), ("a", Some(1), 20)]), "b", "a's came late");
        assert_eq!(owner(&[("a", Some(1), 0), ("b", Some(2), 10), ("a", Some(1), 20)]), "b");
        assert_eq!(owner(&[("b", Some(2), 10), ("a", Some(3), 20)]), "a");
    }

    #[test]
    fn who_was_silent_for_long_is_asked_last() {
        let mut roll = Roll::default();
        let said = [("dead", 0, Some(0)), ("near", 9_000, Some(3)), ("far", 10_000, Some(9))];
        for (offset, (name, timestamp, lag)) in (0..).zip(said) {
            let standing = Standing {
                instance: name.to_owned(),
                thread: 0,
                standbys: BTreeMap::from([("0_0".to_owned(), lag)]),
                address: format!("{name}:1"),
                is_warming: false,
            };
            take(&mut roll, offset, name, &standing, timestamp);
        }
        let keepers = |silence_ms| {
            let found = roll.keepers("0_0", silence_ms).into_iter();
            found.map(|standing| standing.instance.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(keepers(10_000), ["dead", "near", "far"], "the least behind first");
        assert_eq!(keepers(9_999), ["near", "far", "dead"], "and perhaps it is only their clocks");
    }

    #[test]
    fn the_later_record_counts_where_epochs_say_nothing() {
        assert_eq!(owner(&[("a", None, 0), ("b", Some(2), 10)]), "b");
        assert_eq!(owner(&[("b", Some(2), 10), ("a", None, 20)]), "a", "of an older program");
        assert_eq!(owner(&[("a", Some(1), 0), ("b", Some(1), 10)]), "b", "threads of KIP-848");
        assert_eq!(owner(&[("a", Some(9), 0), ("b", Some(1), ANEW_MS + 1)]), "b", "a new group");
        assert_eq!(owner(&[("a", Some(9), 0), ("b", Some(1), ANEW_MS)]), "a");
    }
}
