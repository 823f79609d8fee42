//! Two members under a steady load on brokers that fail, and the checks at the end: every record of the input in the output,
//! once and in order; every store as the log has it.
//!
//! Invariant: nothing is taken from what the application says of itself. What must be in output, changelog and stores is
//! computed from the input as a reader of committed records finds it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(missing_debug_implementations, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::contract::Owned;
use log::kafka::{KafkaLog, KafkaOptions};
use operators::{DEAD_LETTERS, Topology};
use state_stores::{Direction, StoreIndex, StoreSpec, TaskState};

use crate::chain::{self, Chains};
use crate::cluster::Cluster;
use crate::load::{Feeder, Watcher};
use crate::member::Member;
use crate::stage::{PARTITIONS, Part, Stage};

/// Longest wait for anything: a halted broker costs transactions and sessions their time-outs, one after the other.
const PATIENCE: Duration = Duration::from_secs(180);

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A test under way.
pub struct Trial {
    /// Topics, folders, what members said.
    pub stage: Stage,
    feeder: Feeder,
    watcher: Watcher,
    members: [Option<Member>; 2],
    servers: String,
    /// Members that were killed.
    pub kills: usize,
}

impl Trial {
    /// Starts the load and two members on these brokers.
    #[must_use]
    pub fn start(cluster: &Cluster, what: &str, replication: i32) -> Self {
        let stage = Stage::new(cluster, what, replication);
        let topics = ["lines", "counts"].map(|base| stage.scene.name(base));
        cluster.until_known(&[&topics[..], &[DEAD_LETTERS.to_owned()]].concat()).unwrap();
        let log = &stage.scene.log;
        let watcher = Watcher::new(log.as_ref(), stage.partitions("counts"));
        let feeder = Feeder::start(
            log.clone(),
            stage.scene.name("lines"),
            PARTITIONS,
            stage.scene.name("feeder"),
        );
        let servers = cluster.servers().to_owned();
        let mut trial = Self { stage, feeder, watcher, members: [None, None], servers, kills: 0 };
        trial.bring(0);
        trial.bring(1);
        trial
    }

    /// Waits until so many more records have come out.
    pub fn work(&mut self, records: u64) {
        let enough = self.watcher.records + records;
        self.until(&format!("{records} more records come out"), |trial| {
            trial.watcher.records >= enough
        });
    }

    /// Lets time pass while everybody does what they can.
    pub fn hold(&mut self, time: Duration) {
        let over = Instant::now() + time;
        self.until("the time is over", |_| Instant::now() >= over);
    }

    /// Lets nothing more go in until [`Self::resume`].
    pub fn pause(&self) {
        self.feeder.pause(true);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.feeder.pause(false);
    }

    /// kill -9 for the member of a slot; [`Self::bring`] starts the next.
    pub fn kill(&mut self, slot: usize) {
        self.members[slot].take().unwrap().kill().unwrap();
        self.kills += 1;
    }

    /// Starts the member of a slot.
    pub fn bring(&mut self, slot: usize) {
        self.members[slot] = Some(self.stage.member(slot, &[&self.servers]));
    }

    /// Looks at what comes out until something is so.
    ///
    /// # Panics
    /// It doesn't become so, or a member ends by itself.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.watcher.look();
            self.feeder.came_out(self.watcher.records);
            if done(self) {
                return;
            }
            for (slot, member) in self.members.iter_mut().enumerate() {
                let is_gone = member.as_mut().is_some_and(|member| member.is_gone().unwrap());
                assert!(!is_gone, "member {slot} has ended by itself, while {what}");
            }
            let name = self.stage.name();
            assert!(
                Instant::now() < deadline,
                "{name}: not in time: {what}; {} came out",
                self.watcher.records
            );
        }
    }

    /// Ends the load, waits for the rest, lets the members leave and checks everything. How many records went through.
    ///
    /// # Panics
    /// Something was lost, doubled, out of order or rebuilt.
    pub fn check(mut self) -> u64 {
        let acknowledged = self.feeder.stop();
        let input = self.stage.scene.read(&self.stage.scene.name("lines"), PARTITIONS);
        let lines: Vec<String> = input.iter().map(Owned::text).collect();
        check_input(&lines, &acknowledged);
        let expected = chain::chains(lines.iter().map(String::as_str));
        self.until("the rest comes out", |trial| trial.watcher.records >= lines.len() as u64);
        self.members.into_iter().flatten().for_each(|member| member.leave().unwrap());
        compare("what was watched", &self.watcher.seen, &expected);
        compare("the output", &output(&self.stage), &expected);
        check_state(&self.stage, &expected);
        for slot in [0, 1] {
            let said = self.stage.said(slot);
            assert!(said.contains("tasks are level with the log"), "the members tell what they do");
            for loss in ["rebuilding a store", "records were deleted"] {
                let told = said.lines().find(|line| line.contains(loss));
                assert!(told.is_none(), "member {slot}: {}", told.unwrap_or_default());
            }
        }
        lines.len() as u64
    }
}

/// What was acknowledged to the feeder is there, and nothing twice.
fn check_input(lines: &[String], acknowledged: &[u64]) {
    let ids: BTreeSet<u64> = lines.iter().map(|line| chain::key_and_id(line).1).collect();
    assert_eq!(ids.len(), lines.len(), "the log has doubled input");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !ids.contains(id)).collect();
    assert!(lost.is_empty(), "the log has lost {lost:?}");
}

/// The output as somebody reads it who comes afterwards.
fn output(stage: &Stage) -> Chains {
    let mut chains = Chains::new();
    for found in stage.scene.read(&stage.scene.name("counts"), PARTITIONS) {
        let key = String::from_utf8(found.key.unwrap()).unwrap();
        let chain = i64::from_be_bytes(found.value.unwrap().try_into().unwrap());
        chains.entry(key).or_default().push(chain);
    }
    chains
}

fn compare(what: &str, found: &Chains, expected: &Chains) {
    for (key, expected) in expected {
        let found = found.get(key).map(Vec::as_slice).unwrap_or_default();
        let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected);
        let at = same.count();
        assert!(
            found == expected,
            "{what} of {key}: {} records instead of {}; from the {at}th on {:?} instead of {:?}",
            found.len(),
            expected.len(),
            found.get(at..).unwrap_or_default().iter().take(3).collect::<Vec<_>>(),
            expected.iter().skip(at).take(3).collect::<Vec<_>>()
        );
    }
    assert_eq!(found.len(), expected.len(), "{what} has keys that nobody sent");
}

/// The changelog's last value of each key is what the input leads to, and so is what each folder holds of each partition
/// once the rest of the changelog is added: also in the folder of a member that had it long ago.
fn check_state(stage: &Stage, expected: &Chains) {
    let topology = topology(|base| stage.scene.name(base));
    let parts = topology.subtopologies();
    let stores: &[StoreSpec] =
        parts.iter().map(|part| &part.stores[..]).find(|it| !it.is_empty()).unwrap();
    let changelog = stage.scene.read(&stores[0].changelog_topic, PARTITIONS);
    let states = [0, 1].map(|slot| stage.state(slot));
    let (mut all, mut held) = (Rows::new(), 0);
    for partition in 0..PARTITIONS {
        let log: Vec<&Owned> = changelog.iter().filter(|row| row.partition == partition).collect();
        let replayed = replay(Rows::new(), &log, 0);
        for (slot, state) in states.iter().enumerate() {
            let state = state.task_state(partition, stores).unwrap();
            let Some(next) = state.changelog_position(StoreIndex(0)) else { continue };
            held += 1;
            assert_eq!(
                replay(rows(&state), &log, next),
                replayed,
                "partition {partition} in the folder of member {slot}, from {next} on"
            );
        }
        all.extend(replayed);
    }
    assert!(held >= PARTITIONS, "only {held} stores were found in the folders");
    assert_eq!(all.len(), expected.len(), "keys in the changelog");
    for (key, chains) in expected {
        let row = all.get(key.as_bytes()).map(Vec::as_slice).unwrap_or_default();
        let last = chains.last().unwrap().to_be_bytes();
        assert!(row.ends_with(&last), "the changelog's row of {key} is {row:?}, not {last:?}");
    }
}

fn rows(state: &TaskState) -> Rows {
    let mut rows = Rows::new();
    let mut take = |key: &[u8], value: &[u8]| {
        rows.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    state.scan(StoreIndex(0), b"", None, Direction::Forward, &mut take).unwrap();
    rows
}

fn replay(mut rows: Rows, changelog: &[&Owned], from: i64) -> Rows {
    for row in changelog.iter().filter(|row| row.offset >= from) {
        let key = row.key.clone().unwrap();
        match &row.value {
            Some(value) => rows.insert(key, value.clone()),
            None => rows.remove(&key),
        };
    }
    rows
}

fn topology(name: impl Fn(&str) -> String) -> Topology {
    chain::topology(name("application"), name("lines"), name("counts"))
}

/// The body of a trial's members, whose first word is the brokers' addresses; nothing in any other process.
pub fn the_member() {
    let Some(part) = Part::told() else { return };
    let log = KafkaLog::new(KafkaOptions::new(&part.more[0]));
    part.play(topology(|base| part.name(base)), Arc::new(log), |options, settings| {
        // Often, so that a kill finds every part of a write-back.
        options.max_layer_age_ms = 50;
        settings.repartition_purge_interval_ms = 300;
    });
}
