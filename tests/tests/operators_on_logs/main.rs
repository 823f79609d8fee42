//! The operators beyond counting, on real logs, as processes that are killed: calls with durable pending rows, parked
//! keys, cogroup, deduplication, suppression, sliding and session windows, joins of streams, of a versioned table and by
//! foreign key, topics that records name, one of which isn't there. What is committed must be what `TopologyTestDriver` gives for the same input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "../kafka/mod.rs"]
mod kafka;

mod embedded;
mod flow;
mod outcome;
mod script;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use log::contract::{LogFixture, Scene, scene::unique};
use log::{Cleanup, TopicSpec};
use operators::DEAD_LETTERS;
use runtime::{LetGo, ParkedError, Worker, WorkerSettings, parked_keys};
use state_stores::{RocksEngine, RocksOptions, StateDir, StateOptions};
use system_tests::{Member, member};
use tempfile::TempDir;

use flow::{INPUTS, Mended, OUTPUTS, topology};
use kafka::Kafka;
use script::{ACTS, EVENTS, MENDED_IN, PARTITIONS, acts};

#[test]
fn two_members_on_kafka_that_are_killed_give_what_the_test_driver_gives() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let story = Story::new(&kafka);
    let mut first = story.member(0);
    story.act(0);
    story.act(1);
    story.until_seen(EVENTS / 2);
    let mut second = story.member(1);
    story.act(2);
    story.until_seen(EVENTS + EVENTS / 2);

    first.kill().unwrap();
    story.act(3);
    first = story.member(0);
    story.until_seen(3 * EVENTS);
    mend(story.folder.path());
    story.act(MENDED_IN);
    story.let_go();
    second.kill().unwrap();
    story.until_seen(4 * EVENTS);

    story.act(5);
    first.kill().unwrap();
    (first, second) = (story.member(0), story.member(1));
    story.act(ACTS);
    let expected = outcome::expected(&|base| story.scene.name(base));
    outcome::wait_for(&story.scene, &expected);
    first.leave().unwrap();
    second.leave().unwrap();
    outcome::check(&story.scene, &expected);
    outcome::check_letters_to_nowhere(&story.scene);
    check_calls(&story.scene);
}

/// Makes all topics but the flow's internal ones.
fn make_topics(scene: &Scene) {
    let outputs = OUTPUTS.iter().map(|(output, _)| *output);
    for topic in outputs.chain(INPUTS).chain([service::ASKED]) {
        scene.topic(topic, PARTITIONS);
    }
    if scene.admin.describe(&[DEAD_LETTERS]).unwrap() == [None] {
        let (name, cleanup) = (DEAD_LETTERS.to_owned(), Cleanup::Keep);
        let spec = TopicSpec { name, partitions: 3, replication: 1, cleanup };
        scene.admin.ensure_topics(&[spec]).unwrap();
    }
}

/// How the service saw a request.
#[derive(Default)]
struct Asked {
    ids: BTreeSet<String>,
    /// How often each attempt was made.
    attempts: BTreeMap<Vec<u8>, usize>,
}

/// Calls as the service saw them, by request.
fn calls(scene: &Scene) -> BTreeMap<String, Asked> {
    let mut calls: BTreeMap<String, Asked> = BTreeMap::new();
    for call in scene.read_now(&scene.name(service::ASKED), PARTITIONS) {
        let request = String::from_utf8(call.key.clone().unwrap()).unwrap();
        let asked = calls.entry(request).or_default();
        asked.ids.insert(call.text());
        *asked.attempts.entry(call.headers[0].1.clone()).or_default() += 1;
    }
    calls
}

/// Each request has one id for good, whatever died, and each id one request. An attempt was made a second time, which
/// only a process that died explains.
fn check_calls(scene: &Scene) {
    let calls = calls(scene);
    let ids: BTreeSet<_> = calls.values().flat_map(|asked| &asked.ids).collect();
    assert_eq!(calls.len(), ACTS * EVENTS / 4);
    assert_eq!(ids.len(), calls.len(), "an id is for one request");
    assert!(calls.values().all(|asked| asked.ids.len() == 1), "a request has one id");
    let made = |asked: &Asked| asked.attempts.values().any(|times| *times > 1);
    assert!(calls.values().any(made), "no call was under way when a process died");
}

struct Story {
    name: String,
    scene: Scene,
    folder: TempDir,
}

impl Story {
    fn new(kafka: &Kafka) -> Self {
        let name = unique("operators");
        let scene = Scene::on(kafka.log(), kafka, &name);
        make_topics(&scene);
        Self { name, scene, folder: tempfile::tempdir().unwrap() }
    }

    fn member(&self, slot: usize) -> Member {
        let folder = self.folder.path().display();
        Member::spawn(&format!("kafka {slot} {} {folder}", self.name), Stdio::inherit()).unwrap()
    }

    /// Writes an act, without commands.
    fn act(&self, act: usize) {
        let mut lines = acts().swap_remove(act);
        lines.retain(|line| line.topic != script::CONTROL);
        script::write(&self.scene, &lines);
    }

    /// Lets every parked key go, in the middle of what the members do: a key's second command is refused as long as the
    /// first one is on its way, and afterwards.
    fn let_go(&self) {
        let topology = topology(&|base| self.scene.name(base), &is_mended(self.folder.path()));
        let (log, now) = (self.scene.log.as_ref(), member::now_ms());
        let parked = parked_keys(log, &topology).unwrap();
        assert!(
            parked.len() > 1 && parked.iter().all(|it| it.key.cause.contains("can't be booked"))
        );
        let keys: Vec<_> = parked.into_iter().map(|it| (it.parking, it.key.key)).collect();
        runtime::let_go(log, &topology, &keys, LetGo::Release, now).unwrap();
        let again = runtime::let_go(log, &topology, &keys, LetGo::Discard, now).unwrap_err();
        let refused = matches!(again, ParkedError::OnItsWay { .. } | ParkedError::NotParked { .. });
        assert!(refused, "{again}");
    }

    /// Waits until so many events have been processed and committed.
    fn until_seen(&self, events: usize) {
        self.scene.until(&format!("{events} events are seen"), || seen(&self.scene) >= events);
    }
}

/// Events that have been processed: each goes to one of two topics.
fn seen(scene: &Scene) -> usize {
    ["even", "odd"].iter().map(|topic| scene.read_now(&scene.name(topic), PARTITIONS).len()).sum()
}

fn marker(folder: &Path) -> PathBuf {
    folder.join("mended")
}

fn mend(folder: &Path) {
    std::fs::write(marker(folder), "").unwrap();
}

fn is_mended(folder: &Path) -> Mended {
    let marker = marker(folder);
    Arc::new(move || marker.exists())
}

/// A worker of the flow with its state in a folder of this slot.
fn worker(scene: &Scene, fixture: &dyn LogFixture, folder: &Path, slot: &str) -> Worker {
    let state = folder.join(format!("state-{slot}"));
    let engine = RocksEngine::open(&state, RocksOptions::default()).unwrap();
    let mut options = StateOptions::new(scene.admin.log_id().unwrap());
    // Often, so that a kill finds every part of a write-back.
    options.max_layer_age_ms = 50;
    let state = StateDir::open(Arc::new(engine), options).unwrap();
    let mut settings = WorkerSettings::new(format!("member-{slot}"));
    settings.session_timeout = fixture.session_timeout();
    settings.repartition_purge_interval_ms = 300;
    let mended = is_mended(folder);
    let topology = topology(&|base| scene.name(base), &mended);
    let mut worker = Worker::new(topology, scene.log.clone(), state, settings, 1);
    service::attach(&mut worker, scene, mended);
    worker
}

/// The body of the child process; nothing when run as an ordinary test. It is told the log, its slot, the scene's name
/// and the folder.
#[test]
fn the_member() {
    let Some(told) = member::told() else { return };
    let told: Vec<&str> = told.splitn(4, ' ').collect();
    let [on, slot, name, folder] = told[..] else { panic!("told {told:?}") };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let folder = Path::new(folder);
    if on == "embedded" {
        return embedded::member(name, folder);
    }
    let Some(kafka) = Kafka::from_environment() else { return };
    let scene = Scene::on(kafka.log(), &kafka, name);
    member::serve(worker(&scene, &kafka, folder, slot), || ()).unwrap();
}
