//! Two members of one application on real Kafka, each in a process of its own with RocksDB under its state: what the
//! tests that kill them share.
//!
//! Invariant: a member finds in what it was told all that it needs; it asks no broker before its worker does, so it can be
//! started while there is none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(missing_debug_implementations, reason = "helpers of tests")]

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::contract::{LogFixture, Scene, scene::unique};
use log::{Cleanup, Log, TopicPartition, TopicSpec};
use operators::{DEAD_LETTERS, I64Be, KStream, Materialized, Topic, Topology, Utf8};
use runtime::{Worker, WorkerSettings};
use state_stores::{RocksEngine, RocksOptions, StateDir, StateOptions};
use tempfile::TempDir;

use crate::member::{self, Member};

/// Partitions of every topic of a stage.
pub const PARTITIONS: u32 = 4;

/// The parent's side: topics, and what its members leave behind.
pub struct Stage {
    /// For looking at the log.
    pub scene: Scene,
    name: String,
    replication: i32,
    log_id: String,
    folders: [TempDir; 2],
}

impl Stage {
    /// Makes the topics `lines` and `counts` (and the dead letters, where there are none) with so many replicas.
    #[must_use]
    pub fn new(fixture: &dyn LogFixture, what: &str, replication: i32) -> Self {
        let name = unique(what);
        let scene = Scene::on(fixture.log(), fixture, &name);
        let topic =
            |name| TopicSpec { name, partitions: PARTITIONS, replication, cleanup: Cleanup::Keep };
        let topics = ["lines", "counts"].map(|base| topic(scene.name(base)));
        scene.admin.ensure_topics(&topics).unwrap();
        if scene.admin.describe(&[DEAD_LETTERS]).unwrap() == [None] {
            let letters = TopicSpec { partitions: 3, ..topic(DEAD_LETTERS.to_owned()) };
            scene.admin.ensure_topics(&[letters]).unwrap();
        }
        let log_id = scene.admin.log_id().unwrap();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        Self { scene, name, replication, log_id, folders }
    }

    /// Starts the member of a slot. It finds `more`, words without spaces, in its [`Part`].
    #[must_use]
    pub fn member(&self, slot: usize, more: &[&str]) -> Member {
        let folder = self.folder(slot).display();
        let Self { name, replication, log_id, .. } = self;
        let told = format!("{slot} {name} {replication} {log_id} {} {folder}", more.join(";"));
        let log = OpenOptions::new().create(true).append(true).open(self.log(slot)).unwrap();
        Member::spawn(&told, log.into()).unwrap()
    }

    /// Its name, unlike any other stage's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the member of a slot keeps its state.
    #[must_use]
    pub fn folder(&self, slot: usize) -> &Path {
        self.folders[slot].path()
    }

    /// The state in a slot's folder. Its member must be gone.
    #[must_use]
    pub fn state(&self, slot: usize) -> Arc<StateDir> {
        open(self.folder(slot), StateOptions::new(&self.log_id))
    }

    /// What the members of a slot have said.
    #[must_use]
    pub fn said(&self, slot: usize) -> String {
        std::fs::read_to_string(self.log(slot)).unwrap_or_default()
    }

    /// The partitions of a topic.
    #[must_use]
    pub fn partitions(&self, base: &str) -> Vec<TopicPartition> {
        self.scene.partitions(&self.scene.name(base), PARTITIONS)
    }

    fn log(&self, slot: usize) -> PathBuf {
        self.folder(slot).with_extension("log")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for slot in [0, 1] {
            if std::thread::panicking() {
                eprintln!("member {slot}:\n{}", self.said(slot));
            }
            let _left = std::fs::remove_file(self.log(slot));
        }
    }
}

/// The member's side: which one it is.
#[derive(Debug)]
pub struct Part {
    /// Its number.
    pub slot: usize,
    /// What else it was told.
    pub more: Vec<String>,
    name: String,
    replication: i32,
    log_id: String,
    folder: PathBuf,
}

impl Part {
    /// None where this process isn't a member. Tells on standard error from now on what it does.
    #[must_use]
    pub fn told() -> Option<Self> {
        let told = member::told()?;
        tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
        let told: Vec<&str> = told.splitn(6, ' ').collect();
        Some(Self {
            slot: told[0].parse().unwrap(),
            name: told[1].to_owned(),
            replication: told[2].parse().unwrap(),
            log_id: told[3].to_owned(),
            more: told[4].split(';').map(str::to_owned).collect(),
            folder: told[5].into(),
        })
    }

    /// A name of the stage.
    #[must_use]
    pub fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.name)
    }

    /// Runs the topology as a member until the parent wants it to leave.
    pub fn play(
        &self,
        topology: Topology,
        log: Arc<dyn Log>,
        change: impl FnOnce(&mut StateOptions, &mut WorkerSettings),
    ) {
        let mut options = StateOptions::new(&self.log_id);
        let mut settings = WorkerSettings::new(format!("member-{}", self.slot));
        change(&mut options, &mut settings);
        let state = open(&self.folder, options);
        let worker = Worker::new(topology, log, state, settings, self.replication);
        member::serve(worker, || ()).unwrap();
    }
}

fn open(folder: &Path, options: StateOptions) -> Arc<StateDir> {
    let engine = RocksEngine::open(folder, RocksOptions::default()).unwrap();
    StateDir::open(Arc::new(engine), options).unwrap()
}

/// The end of a topology: how often each key came, in `store` and, at each time, in `topic`.
pub fn count(stream: &KStream<str, str>, store: &str, topic: &str) {
    let counts = stream.group_by_key().count(&Materialized::as_(store, Utf8, I64Be));
    counts.to_stream().to(&Topic::new(topic, Utf8, I64Be));
}
