//! Ring 4 of standbys: two processes of one application on real Kafka, with RocksDB under their state. The one that owns
//! half of the state is killed with SIGKILL; the other takes over, with a standby of it or without, and counts on from
//! what the dead one had committed.
//!
//! `KAFKA_STANDBY_KEYS=2000000 cargo test --test kafka_standby -- --nocapture` is the measurement: so many keys instead of
//! 20,000, half of them the dead one's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod kafka;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::contract::{LogFixture, Scene, scene::unique};
use log::{Isolation, LogError, NewRecord, TopicPartition};
use operators::{DEAD_LETTERS, I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use runtime::{
    Answer, Member as Other, PeerError, Peers, Queries, Stale, StoreQuery, Worker, WorkerHandle,
    WorkerSettings, render_plain,
};
use state_stores::partition::partition_for_key;
use state_stores::{RocksEngine, RocksOptions, StateDir, StateOptions};
use system_tests::{Member, member};

use kafka::Kafka;

/// How many keys the measurement has.
const KEYS: &str = "KAFKA_STANDBY_KEYS";
const PARTITIONS: u32 = 4;
const BATCH: usize = 20_000;
/// Filling and counting millions takes longer than a scene is patient.
const PATIENCE: Duration = Duration::from_secs(600);
/// A standing tells of a look at most so long ago.
const SEEN_BEFORE_MS: i64 = 2_000;

#[test]
fn a_killed_owner_is_replaced_by_its_standby_which_restores_the_tail_only() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let keys = std::env::var(KEYS).map_or(20_000, |keys| keys.parse().unwrap());
    let cold = Story::new(&kafka, keys, 0).take_over();
    let warm = Story::new(&kafka, keys, 1).take_over();
    for (what, took) in [("without a standby", &cold), ("with a standby", &warm)] {
        eprintln!(
            "{what}: {keys} keys, {} rows restored; {:.2} s from the kill to the first commit of all its partitions",
            took.rows,
            took.until_counted.as_secs_f64()
        );
        took.said.iter().for_each(|line| eprintln!("  {line}"));
    }
    assert!(cold.rows >= keys / 4, "{} rows were restored without a standby", cold.rows);
    assert!(warm.rows <= keys / 100, "{} rows were restored with a standby", warm.rows);
}

#[test]
fn after_a_kill_the_standby_answers_whom_allows_it_until_it_has_taken_over() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let story = Story::new(&kafka, 2_000, 1);
    let mut owner = story.member(0);
    let (queries, survivor) = story.survivor();
    let filled = story.fill();
    story.until("all is counted", || story.is_counted(&filled));
    let since_ms = member::now_ms() + SEEN_BEFORE_MS;
    story.until("both members say that their standbys are level", || story.is_warm(since_ms));
    let kept = || queries.listings()[0].standbys.keys().next().copied();
    story.until("its standbys can be asked", || kept().is_some());

    let partition = kept().unwrap();
    owner.kill().unwrap();
    let (again, appended) = story.once_more();
    let place = partition as usize;
    let ask = |stale, after: Option<i64>| {
        let query = StoreQuery {
            key: Some(again[place].clone()),
            stale,
            after: after
                .map(|next| format!("{}[{partition}]@{}", story.scene.name("lines"), next - 1)),
            wait_ms: Some(if after == Some(appended[place]) { 0 } else { 10_000 }),
            ..StoreQuery::default()
        };
        queries.ask("seen", &query)
    };
    let stale = ask(Some(Stale::Allow), Some(filled[place])).unwrap();
    eprintln!("{:?}", stale.from);
    assert_eq!(stale.rows[0].value, 1);
    assert!(stale.from[0].standby.is_some(), "nobody has taken over yet");
    assert!(stale.from[0].positions.values().any(|next| *next >= filled[place]));
    let not_yet = ask(Some(Stale::Allow), Some(appended[place])).unwrap_err();
    assert_eq!(not_yet.code(), "not_caught_up", "the dead one hadn't read it: {not_yet}");
    assert_eq!(ask(None, None).unwrap_err().code(), "owner_unreachable");

    story.until("the survivor has taken over", || story.is_counted(&appended));
    let fresh = ask(None, Some(appended[place])).unwrap();
    assert_eq!((&fresh.rows[0].value, &fresh.from[0].standby), (&2.into(), &None));
    survivor.close();
    survivor.join().unwrap();
}

/// No member can be asked over any wire.
struct Nobody;

impl Peers for Nobody {
    fn ask(&self, _: &Other, _: &str, _: &StoreQuery) -> Result<Answer, PeerError> {
        Err(PeerError::Silent("nobody listens".to_owned()))
    }
}

/// What a take-over was like.
struct TookOver {
    until_counted: Duration,
    rows: usize,
    /// The survivor's words on it.
    said: Vec<String>,
}

struct Story<'k> {
    kafka: &'k Kafka,
    name: String,
    scene: Scene,
    keys: usize,
    replicas: u32,
    folders: [tempfile::TempDir; 2],
}

impl<'k> Story<'k> {
    fn new(kafka: &'k Kafka, keys: usize, replicas: u32) -> Self {
        let name = unique("standby");
        let scene = Scene::on(kafka.log(), kafka, &name);
        scene.topic("lines", PARTITIONS);
        scene.topic("counts", PARTITIONS);
        if scene.admin.describe(&[DEAD_LETTERS]).unwrap() == [None] {
            let (name, cleanup) = (DEAD_LETTERS.to_owned(), log::Cleanup::Keep);
            let spec = log::TopicSpec { name, partitions: 3, replication: 1, cleanup };
            scene.admin.ensure_topics(&[spec]).unwrap();
        }
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        Self { kafka, name, scene, keys, replicas, folders }
    }

    fn take_over(self) -> TookOver {
        let mut owner = self.member(0);
        let survivor = self.member(1);
        // Whoever had all tasks for a moment would have the other's rows as well.
        self.until("each member has its half", || self.is_shared());
        let filled = self.fill();
        self.until("all is counted", || self.is_counted(&filled));
        if self.replicas > 0 {
            // What they saw when they said it was there before.
            let since_ms = member::now_ms() + SEEN_BEFORE_MS;
            self.until("both members say that their standbys are level", || self.is_warm(since_ms));
        }
        let before = self.said().len();
        let killed = Instant::now();
        owner.kill().unwrap();
        let (again, appended) = self.once_more();
        self.until("the survivor has taken over", || self.is_counted(&appended));
        let until_counted = killed.elapsed();
        for (key, count) in self.last_counts() {
            assert_eq!(count, if again.contains(&key) { 2 } else { 1 }, "{key}");
        }
        survivor.leave().unwrap();
        let told = self.said().split_off(before);
        let said = |line: &&String| line.contains("assigned") || line.contains("are level");
        let said: Vec<String> = told.iter().filter(said).cloned().collect();
        let rows = said.iter().filter_map(|line| line.split("rows=").nth(1)?.parse::<usize>().ok());
        TookOver { until_counted, rows: rows.max().unwrap_or(0), said }
    }

    fn member(&self, slot: usize) -> Member {
        let folder = self.folders[slot].path();
        let told = format!("{slot} {} {} {}", self.replicas, self.name, folder.display());
        let log = OpenOptions::new().create(true).append(true).open(self.log(slot)).unwrap();
        Member::spawn(&told, log.into()).unwrap()
    }

    /// The other member, in this process.
    fn survivor(&self) -> (Queries, WorkerHandle) {
        let (kafka, scene) = (self.kafka, Scene::on(self.kafka.log(), self.kafka, &self.name));
        let worker = worker(kafka, &scene, "1", self.replicas, self.folders[1].path());
        let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
        (queries, runtime::spawn(worker, Arc::new(member::now_ms), |_| {}).unwrap())
    }

    fn log(&self, slot: usize) -> PathBuf {
        self.folders[slot].path().with_extension("log")
    }

    /// The survivor's lines.
    fn said(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log(1)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Each key once; where each partition ends.
    fn fill(&self) -> Vec<i64> {
        let mut producer = self.scene.producer("filler");
        let mut ends = vec![0; PARTITIONS as usize];
        for first in (0..self.keys).step_by(BATCH) {
            producer.begin().unwrap();
            for number in first..self.keys.min(first + BATCH) {
                self.send(producer.as_mut(), &key(number));
            }
            producer.flush().unwrap();
            producer.commit().unwrap();
            self.acknowledged(producer.as_ref(), &mut ends);
        }
        ends
    }

    fn acknowledged(&self, producer: &dyn log::TxnProducer, ends: &mut [i64]) {
        for (end, at) in ends.iter_mut().zip(self.partitions("lines")) {
            *end = producer.acknowledged(&at).unwrap_or(*end);
        }
    }

    fn send(&self, producer: &mut dyn log::TxnProducer, key: &str) {
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(b"said"),
            timestamp: 1_700_000_000_000,
            headers: &[],
        };
        let at = partition_for_key(key.as_bytes(), PARTITIONS);
        producer.send(&self.scene.name("lines"), at, record).unwrap();
    }

    /// A known key of each partition, and where each ends then.
    fn once_more(&self) -> (Vec<String>, Vec<i64>) {
        let known = |partition| {
            let mut keys = (0..self.keys).map(key);
            keys.find(|key| partition_for_key(key.as_bytes(), PARTITIONS) == partition).unwrap()
        };
        let keys: Vec<String> = (0..PARTITIONS).map(known).collect();
        let mut producer = self.scene.producer("filler");
        producer.begin().unwrap();
        keys.iter().for_each(|key| self.send(producer.as_mut(), key));
        producer.flush().unwrap();
        producer.commit().unwrap();
        let mut ends = vec![0; PARTITIONS as usize];
        self.acknowledged(producer.as_ref(), &mut ends);
        (keys, ends)
    }

    /// True when the group has committed all that was appended.
    fn is_counted(&self, ends: &[i64]) -> bool {
        let group = format!("{}-group", self.scene.name("application"));
        let committed = match self.scene.admin.committed_offsets(&group, &self.partitions("lines"))
        {
            // The broker has just started, or the group has.
            Err(LogError::Retriable(_)) => return false,
            committed => committed.unwrap(),
        };
        committed.into_iter().zip(ends).all(|(next, end)| next.is_some_and(|next| next >= *end))
    }

    /// True when the coordinator has given both members their partitions.
    fn is_shared(&self) -> bool {
        let group = format!("{}-group", self.scene.name("application"));
        let half = PARTITIONS as usize / 2;
        self.scene.admin.group(&group).is_ok_and(|told| {
            told.state == "Stable"
                && told.members.len() == 2
                && told.members.iter().all(|member| member.partitions.len() == half)
        })
    }

    /// True when each member has said of its standbys, two of them, that they lack nothing.
    fn is_warm(&self, since_ms: i64) -> bool {
        let topic = format!("{}-members", self.scene.name("application"));
        let mut standings = BTreeMap::new();
        for found in self.scene.read_now(&topic, 1) {
            let key = String::from_utf8(found.key.unwrap_or_default()).unwrap();
            if key.ends_with("/standby") && found.timestamp >= since_ms {
                standings.insert(key, found.value.unwrap_or_default());
            }
        }
        let is_level = |value: &Vec<u8>| {
            let said: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
            let lags = said["standbys"].as_object().cloned().unwrap_or_default();
            lags.len() == 2 && lags.values().all(|lag| *lag == 0)
        };
        standings.len() == 2 && standings.values().all(is_level)
    }

    /// The last count of each key whose count is near the end of its partition.
    fn last_counts(&self) -> BTreeMap<String, i64> {
        let counts = self.partitions("counts");
        let ends = self.scene.admin.end_offsets(&counts, Isolation::ReadCommitted).unwrap();
        let reader = self.scene.log.reader(
            "standby-test",
            Isolation::ReadCommitted,
            log::Visibility::Written,
        );
        let mut reader = reader.unwrap();
        let near = |(at, end): (&TopicPartition, &i64)| (at.clone(), (end - 1_000).max(0));
        reader.assign(&counts.iter().zip(&ends).map(near).collect::<Vec<_>>()).unwrap();
        let mut last = BTreeMap::new();
        self.until("the counts are read", || {
            let mut take = |record: log::ConsumedRecord<'_>| {
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                last.insert(key, i64::from_be_bytes(record.value.unwrap().try_into().unwrap()));
            };
            reader.poll(Duration::from_millis(20), 1_000, &mut take).unwrap();
            counts.iter().zip(&ends).all(|(at, end)| reader.reached(at, *end))
        });
        last
    }

    fn partitions(&self, base: &str) -> Vec<TopicPartition> {
        self.scene.partitions(&self.scene.name(base), PARTITIONS)
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "{} on {:?}: {what}", self.name, self.kafka.options);
            std::thread::yield_now();
        }
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        for slot in [0, 1] {
            if std::thread::panicking() {
                let said = std::fs::read_to_string(self.log(slot)).unwrap_or_default();
                eprintln!("member {slot}:\n{said}");
            }
            let _left = std::fs::remove_file(self.log(slot));
        }
    }
}

fn key(number: usize) -> String {
    format!("customer-{number:09}")
}

fn topology(scene: &Scene) -> Topology {
    let builder = StreamsBuilder::new(scene.name("application"));
    let lines = builder.stream::<str, str>(&Topic::new(scene.name("lines"), Utf8, Utf8));
    let counts = lines.group_by_key().count(&Materialized::as_("seen", Utf8, I64Be));
    counts.to_stream().to(&Topic::new(scene.name("counts"), Utf8, I64Be));
    builder.build().unwrap()
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_member() {
    let (Some(told), Some(kafka)) = (member::told(), Kafka::from_environment()) else { return };
    let told: Vec<&str> = told.splitn(4, ' ').collect();
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let scene = Scene::on(kafka.log(), &kafka, told[2]);
    let replicas = told[1].parse().unwrap();
    member::serve(worker(&kafka, &scene, told[0], replicas, Path::new(told[3])), || ()).unwrap();
}

fn worker(kafka: &Kafka, scene: &Scene, slot: &str, replicas: u32, folder: &Path) -> Worker {
    let engine = RocksEngine::open(folder, RocksOptions::default()).unwrap();
    let options = StateOptions::new(scene.admin.log_id().unwrap());
    let state = StateDir::open(Arc::new(engine), options).unwrap();
    let mut settings = WorkerSettings::new(format!("member-{slot}"));
    settings.session_timeout = kafka.session_timeout();
    settings.num_standby_replicas = replicas;
    Worker::new(topology(scene), scene.log.clone(), state, settings, 1)
}
