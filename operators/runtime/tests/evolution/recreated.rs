//! Topics that are deleted and made anew under the same name, and brokers that haven't heard of it yet.

use std::sync::atomic::{AtomicUsize, Ordering};

use log::group::GroupDescription;
use log::{Admin, Cleanup, Isolation, Log, LogError, TopicDescription, TopicPartition, TopicSpec};
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::incarnation;

use crate::machine::{Machine, PARTITIONS};

const CHANGELOG: &str = "app-counts-changelog";

fn counts() -> Topology {
    let builder = StreamsBuilder::new("app");
    let names = builder.stream::<str, i64>(&Topic::new("in", Utf8, I64Be));
    let counts = names.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    counts.to_stream().to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

/// What was counted of anna last.
fn counted(machine: &Machine) -> i64 {
    let rows = machine.read("out", PARTITIONS);
    let last = rows.iter().rfind(|(key, ..)| key == b"anna").map(|(_, count, _)| count);
    i64::from_be_bytes(last.unwrap()[..].try_into().unwrap())
}

#[test]
fn state_of_a_changelog_that_was_deleted_is_not_served() {
    let mut machine = Machine::new(&["in", "out"]);
    machine.start(&counts()).unwrap();
    for number in 0..3 {
        machine.append("in", "anna", number, 1_000);
        machine.settle().unwrap();
    }
    assert_eq!(counted(&machine), 3);
    machine.stop();

    // Whoever did this put more into the new one than the old one had.
    let admin = machine.log().admin().unwrap();
    admin.delete_topics(&[CHANGELOG]).unwrap();
    let (name, cleanup) = (CHANGELOG.to_owned(), Cleanup::Compact);
    let spec = TopicSpec { name, partitions: PARTITIONS, replication: 1, cleanup };
    admin.ensure_topics(&[spec]).unwrap();
    for number in 0..30 {
        machine.append(CHANGELOG, &format!("other {number}"), number, 1_000);
    }
    machine.start(&counts()).unwrap();
    machine.append("in", "anna", 4, 2_000);
    machine.settle().unwrap();
    assert_eq!(counted(&machine), 1, "the changelog knows nothing of her");

    // And what is of this one goes on.
    machine.stop();
    machine.start(&counts()).unwrap();
    assert_eq!(machine.status().restored_rows, 0);
    machine.append("in", "anna", 5, 2_000);
    machine.settle().unwrap();
    assert_eq!(counted(&machine), 2);
}

/// Answers as brokers do to which a topic's making hasn't come through: with nothing at first, then without its id.
struct Brokers {
    asked: AtomicUsize,
    known_after: usize,
}

impl Admin for Brokers {
    fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), LogError> {
        Ok(())
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>, LogError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let id = |id: &str| Some(TopicDescription { id: id.to_owned(), partitions: 1 });
        let found = match asked.checked_sub(self.known_after) {
            None => None,
            Some(0) => id(""),
            Some(_) => id("second life"),
        };
        Ok(vec![found; topics.len()])
    }

    fn log_id(&self) -> Result<String, LogError> {
        unreachable!()
    }

    fn start_offsets(&self, _: &[TopicPartition]) -> Result<Vec<i64>, LogError> {
        unreachable!()
    }

    fn end_offsets(&self, _: &[TopicPartition], _: Isolation) -> Result<Vec<i64>, LogError> {
        unreachable!()
    }

    fn committed_offsets(
        &self,
        _: &str,
        _: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, LogError> {
        unreachable!()
    }

    fn delete_records(&self, _: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        unreachable!()
    }

    fn delete_topics(&self, _: &[&str]) -> Result<(), LogError> {
        unreachable!()
    }

    fn offsets_at(&self, _: &[TopicPartition], _: i64) -> Result<Vec<i64>, LogError> {
        unreachable!()
    }

    fn group(&self, _: &str) -> Result<GroupDescription, LogError> {
        unreachable!()
    }

    fn set_offsets(&self, _: &str, _: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        unreachable!()
    }

    fn forget_group(&self, _: &str) -> Result<(), LogError> {
        unreachable!()
    }
}

#[test]
fn a_life_is_asked_for_until_a_broker_knows_it() {
    for known_after in [1, 2, 5] {
        let brokers = Brokers { asked: AtomicUsize::new(0), known_after };
        let life = incarnation(&brokers, "app", 1).unwrap();
        assert_eq!(life.as_deref(), Some("second life"), "{known_after}");
    }
}
