//! Ring 4 of the runtime: two processes of one application on real Kafka, with
//! RocksDB under their state. One is killed with SIGKILL, one stands still until
//! the group has given it up and then goes on as a zombie, one joins late and
//! one leaves politely. The topology counts words over a repartition topic;
//! exactly once shows in its output: 1, 2, …, n for each word.
//!
//! `KAFKA_WORKERS_KILLS=200 cargo test --test kafka_workers -- again_and_again`
//! is the long run: so many kills instead of two, about seven seconds each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod kafka;

use std::collections::BTreeMap;

use log::contract::LogFixture;
use log::kafka::GroupProtocol;
use log::{GroupMember, Isolation, NewRecord, TopicPartition};
use operators::{StreamsBuilder, Topic, Topology, Utf8};
use system_tests::Member;
use system_tests::stage::{self, PARTITIONS, Part, Stage};

use kafka::Kafka;

/// How many kills the long run has.
const KILLS: &str = "KAFKA_WORKERS_KILLS";
/// What a static member is told.
const STATIC: &str = "static";
const WORDS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const CHUNK: usize = 2_000;

#[test]
fn words_are_counted_exactly_once_by_members_that_come_and_go() {
    come_and_go(GroupProtocol::Classic);
}

#[test]
fn so_they_are_where_the_broker_assigns() {
    come_and_go(GroupProtocol::Consumer);
}

fn come_and_go(protocol: GroupProtocol) {
    let Some(kafka) = Kafka::from_environment() else { return };
    let story = Story::new(&kafka, protocol);
    let mut first = story.member(0);
    story.fill(0);
    story.until_counted(CHUNK / 2);
    let second = story.member(1);
    story.fill(1);
    // Everything: a member goes on with what it hasn't given up.
    story.until_counted(2 * CHUNK);

    story.fill(2);
    story.until_counted(2 * CHUNK + CHUNK / 8);
    first.kill().unwrap();
    let first = story.member(0);
    story.until_counted(2 * CHUNK + CHUNK / 2);

    second.signal("STOP").unwrap();
    story.fill(3);
    // Everything: the other one has taken over what the silent one held.
    story.until_counted(4 * CHUNK);
    second.signal("CONT").unwrap();
    story.fill(4);
    story.until_counted(4 * CHUNK + CHUNK / 4);

    first.leave().unwrap();
    story.fill(5);
    story.until_counted(6 * CHUNK);
    second.leave().unwrap();
    story.check(6);
}

#[test]
fn a_static_member_that_comes_back_in_time_disturbs_nobody() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let mut story = Story::new(&kafka, GroupProtocol::Classic);
    story.is_static = true;
    let mut first = story.member(0);
    let second = story.member(1);
    let before = story.until_shared();
    story.fill(0);
    story.until_counted(CHUNK);
    let assignments = story.assignments(1);

    first.kill().unwrap();
    let first = story.member(0);
    story.fill(1);
    // Everything: also what the killed one had.
    story.until_counted(2 * CHUNK);
    assert_eq!(story.until_shared(), before, "each has what it had");
    assert_eq!(story.assignments(1), assignments, "the other one was disturbed");
    for member in [first, second] {
        member.leave().unwrap();
    }
    story.check(2);
}

#[test]
fn members_that_are_killed_again_and_again_lose_and_double_nothing() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let kills = std::env::var(KILLS).map_or(2, |kills| kills.parse().unwrap());
    let story = Story::new(&kafka, GroupProtocol::Classic);
    let mut members = [story.member(0), story.member(1)];
    for kill in 0..kills {
        story.fill(kill);
        // In the middle of the work, each time elsewhere.
        story.until_counted(kill * CHUNK + (kill * 331) % CHUNK);
        let slot = kill % 2;
        members[slot].kill().unwrap();
        members[slot] = story.member(slot);
        if kill % 20 == 19 {
            eprintln!("{} of {kills} kills", kill + 1);
        }
    }
    story.until_counted(kills * CHUNK);
    for member in members {
        member.leave().unwrap();
    }
    story.check(kills);
}

struct Story<'k> {
    kafka: &'k Kafka,
    stage: Stage,
    protocol: GroupProtocol,
    is_static: bool,
}

impl<'k> Story<'k> {
    fn new(kafka: &'k Kafka, protocol: GroupProtocol) -> Self {
        let stage = Stage::new(kafka, "workers", 1);
        Self { kafka, stage, protocol, is_static: false }
    }

    fn member(&self, slot: usize) -> Member {
        let stays = if self.is_static { STATIC } else { "" };
        self.stage.member(slot, &[&format!("{:?}", self.protocol), stays])
    }

    /// How many assignments the member of a slot was given.
    fn assignments(&self, slot: usize) -> usize {
        self.stage.said(slot).matches("partitions assigned").count()
    }

    /// Waits until two members share the partitions; what each has, by client id.
    fn until_shared(&self) -> BTreeMap<String, Vec<TopicPartition>> {
        let group = format!("{}-group", self.stage.scene.name("application"));
        let mut shares = BTreeMap::new();
        self.stage.scene.until("two members share the partitions", || {
            let told = self.stage.scene.admin.group(&group).unwrap();
            let share = |member: &GroupMember| {
                let mut owned = member.partitions.clone();
                owned.sort();
                (member.client_id.clone(), owned)
            };
            shares = told.members.iter().map(share).collect();
            told.state == "Stable" && shares.len() == 2 && shares.values().all(|it| !it.is_empty())
        });
        shares
    }

    /// Words under keys that say nothing about them.
    fn fill(&self, chunk: usize) {
        let lines = self.stage.scene.name("lines");
        let mut producer = self.stage.scene.producer("filler");
        producer.begin().unwrap();
        for number in chunk * CHUNK..(chunk + 1) * CHUNK {
            let record = NewRecord {
                key: None,
                value: Some(word(number).as_bytes()),
                timestamp: 1_700_000_000_000,
                headers: &[],
            };
            producer.send(&lines, number as u32 % PARTITIONS, record).unwrap();
        }
        producer.commit().unwrap();
    }

    fn counted(&self) -> BTreeMap<String, Vec<i64>> {
        let mut counts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for found in self.stage.scene.read(&self.stage.scene.name("counts"), PARTITIONS) {
            let word = String::from_utf8(found.key.unwrap()).unwrap();
            let count = i64::from_be_bytes(found.value.unwrap().try_into().unwrap());
            counts.entry(word).or_default().push(count);
        }
        counts
    }

    /// Waits for so many committed counts; more is an error at the end.
    fn until_counted(&self, least: usize) {
        let at = self.stage.partitions("counts");
        self.stage.scene.until(&format!("{least} words are counted"), || {
            // Ends count markers too, so they come first, being cheap.
            let ends = self.stage.scene.admin.end_offsets(&at, Isolation::ReadCommitted).unwrap();
            ends.iter().sum::<i64>() >= least as i64
                && self.counted().values().map(Vec::len).sum::<usize>() >= least
        });
    }

    fn check(&self, chunks: usize) {
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for number in 0..chunks * CHUNK {
            let counts = expected.entry(word(number).to_owned()).or_default();
            counts.push(counts.len() as i64 + 1);
        }
        assert_eq!(self.counted(), expected, "{} on {:?}", self.stage.name(), self.kafka.options);
        let said = [0, 1].map(|slot| self.stage.said(slot)).concat();
        assert!(said.contains("tasks are level with the log"), "the members tell what they do");
        assert!(!said.contains("rebuilding a store"), "a member lost its state");
    }
}

fn word(number: usize) -> &'static str {
    // Neither by partition nor in turn.
    WORDS[number * number % 31 % WORDS.len()]
}

fn topology(part: &Part) -> Topology {
    let builder = StreamsBuilder::new(part.name("application"));
    let lines = builder.stream::<str, str>(&Topic::new(part.name("lines"), Utf8, Utf8));
    let words = lines.select_key::<str>(|_, word| word.to_owned());
    stage::count(&words, "words", &part.name("counts"));
    builder.build().unwrap()
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_member() {
    let (Some(part), Some(mut kafka)) = (Part::told(), Kafka::from_environment()) else { return };
    if part.more[0] == format!("{:?}", GroupProtocol::Consumer) {
        kafka.options.group_protocol = GroupProtocol::Consumer;
    }
    part.play(topology(&part), kafka.log(), |options, settings| {
        // Often, so that a kill finds every part of a write-back.
        options.max_layer_age_ms = 50;
        settings.session_timeout = kafka.session_timeout();
        if part.more[1] == STATIC {
            settings.group_instance_id = Some(settings.instance.clone());
            // A busy machine may take longer than the least to start a process.
            settings.session_timeout *= 5;
        }
        settings.repartition_purge_interval_ms = 300;
    });
}
