//! The manifest at start: what goes on, what is refused, and that no crash in between takes a start away.

use operators::{
    I64Be, Manifest, Materialized, StreamsBuilder, TimeWindows, Topic, Topology, Utf8, Verdict,
};
use operators_runtime::WorkerError;
use state_stores::{StateDir, StateOptions};

use crate::machine::{Machine, PARTITIONS};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn counts() -> Topology {
    let builder = StreamsBuilder::new("app");
    let stream = builder.stream(&numbers("in"));
    stream.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    builder.build().unwrap()
}

/// Keeps text under the name of numbers.
fn texts() -> Topology {
    let builder = StreamsBuilder::new("app");
    let store = Materialized::<str, String>::as_("counts", Utf8, Utf8);
    let grouped = builder.stream(&numbers("in")).group_by_key();
    grouped.aggregate(&store, String::new, |_, n, all| format!("{all}{n}"));
    builder.build().unwrap()
}

fn windows(size_ms: i64) -> Topology {
    let builder = StreamsBuilder::new("app");
    let grouped = builder.stream(&numbers("in")).group_by_key();
    let store = Materialized::<str, i64>::as_("counts", Utf8, I64Be).retention_ms(1_000);
    grouped.windowed_by(TimeWindows::of_size(size_ms)).count(&store);
    builder.build().unwrap()
}

/// Counts, and what each key adds up to.
fn with_sums() -> Topology {
    let builder = StreamsBuilder::new("app");
    let grouped = builder.stream(&numbers("in")).group_by_key();
    grouped.count(&Materialized::as_("counts", Utf8, I64Be));
    grouped.reduce(&Materialized::as_("sums", Utf8, I64Be), |a, b| a + b);
    builder.build().unwrap()
}

fn machine() -> Machine {
    Machine::new(&["in", "more"])
}

/// The manifest in the log.
fn logged(machine: &Machine) -> Manifest {
    let all = machine.read("app-manifest", 1);
    let (key, text, _) = all.last().unwrap();
    assert_eq!(key, b"manifest");
    Manifest::from_json(std::str::from_utf8(text).unwrap()).unwrap()
}

/// The manifest on disk.
fn in_folder(machine: &Machine) -> Option<Manifest> {
    let id = log::Log::admin(machine.log()).unwrap().log_id().unwrap();
    let state = StateDir::open(machine.files.clone(), StateOptions::new(id)).unwrap();
    let text = state.manifest().unwrap()?;
    Some(Manifest::from_json(std::str::from_utf8(&text).unwrap()).unwrap())
}

fn of(topology: &Topology) -> Manifest {
    topology.manifest(&|topic| (!topic.starts_with("app-")).then_some(PARTITIONS)).unwrap()
}

fn refusal(machine: &mut Machine, topology: &Topology) -> (Verdict, Option<String>, String) {
    let error = machine.start(topology).unwrap_err();
    let text = error.to_string();
    match error {
        WorkerError::Manifest { verdict, token, .. } => (verdict, token, text),
        error => panic!("{error}"),
    }
}

#[test]
fn it_is_kept_in_the_log_and_beside_the_state_and_follows_the_topology() {
    let mut machine = machine();
    machine.start(&counts()).unwrap();
    machine.stop();
    assert_eq!(logged(&machine), of(&counts()));
    assert_eq!(in_folder(&machine), Some(of(&counts())));

    machine.start(&counts()).unwrap();
    machine.stop();
    assert_eq!(machine.read("app-manifest", 1).len(), 1, "nothing new, nothing written");

    machine.start(&with_sums()).unwrap();
    machine.stop();
    assert_eq!(logged(&machine), of(&with_sums()));
    machine.start(&counts()).unwrap();
    machine.stop();
    assert_eq!(logged(&machine).retired.into_iter().collect::<Vec<_>>(), ["sums"]);
}

#[test]
fn a_refused_start_changes_nothing() {
    let mut machine = machine();
    machine.start(&counts()).unwrap();
    machine.append("in", "anna", 1, 10);
    machine.settle().unwrap();
    machine.stop();
    let (verdict, token, text) = refusal(&mut machine, &windows(10));
    assert_eq!((verdict, token), (Verdict::Incompatible, None));
    let expected = "\
app: the topology doesn't fit the state in the log (incompatible):
  kind of store `counts` (node `counts`): was key-value store of `i64-be` by `utf8`, is window store of `i64-be` by \
`utf8` (incompatible): its rows would be misread: undo the change, or give the store another name (it begins empty, \
`app-counts-changelog` is orphaned)
  store `counts-time`: was absent, is key-value store of `i64-be` by `bytes` (compatible): begins empty and knows only \
what is read from now on
this change can't be accepted: do what is said above";
    assert_eq!(text, expected);
    machine.crash();
    assert_eq!(logged(&machine), of(&counts()));
    machine.start(&counts()).unwrap();
    machine.append("in", "anna", 1, 20);
    machine.settle().unwrap();
    let counted = machine.read("app-counts-changelog", PARTITIONS);
    assert_eq!(counted.last().unwrap().1.last(), Some(&2), "the state was gone on with");
}

#[test]
fn a_migration_waits_for_a_person_on_every_instance() {
    let mut machine = machine();
    machine.start(&counts()).unwrap();
    machine.stop();
    let (verdict, token, text) = refusal(&mut machine, &texts());
    assert_eq!(verdict, Verdict::NeedsMigration);
    let token = token.unwrap();
    assert!(text.ends_with(&format!("ACCEPT_TOPOLOGY_CHANGE={token}")), "{text}");
    machine.crash();

    machine.accepted = Some("0".repeat(8));
    assert_eq!(refusal(&mut machine, &texts()).1, Some(token.clone()), "another change's token");
    machine.crash();
    let old_disk = machine.files.clone();
    machine.new_disk();
    machine.accepted = Some(token.clone());
    machine.start(&texts()).unwrap();
    machine.stop();
    assert_eq!(logged(&machine), of(&texts()));

    // The instance with the old rows knows of them, whatever the log says by now.
    machine.files = old_disk;
    machine.accepted = None;
    let (_, again, text) = refusal(&mut machine, &texts());
    assert_eq!(again, Some(token.clone()));
    assert!(text.contains("in the state folder"), "{text}");
    machine.crash();
    machine.accepted = Some(token);
    machine.start(&texts()).unwrap();
    machine.stop();
    machine.accepted = None;
    machine.start(&texts()).unwrap();
}

#[test]
fn an_instance_without_state_asks_the_log() {
    let mut machine = machine();
    machine.start(&windows(10)).unwrap();
    machine.stop();
    machine.new_disk();
    let (verdict, _, text) = refusal(&mut machine, &windows(20));
    assert_eq!(verdict, Verdict::Incompatible);
    assert!(text.contains("was time windows of 10 ms, is time windows of 20 ms"), "{text}");
}

#[test]
fn a_crash_between_the_two_copies_takes_no_start_away() {
    let mut machine = machine();
    machine.start(&counts()).unwrap();
    machine.stop();
    // The log has the new one, this folder still the old one.
    let old_disk = machine.files.clone();
    machine.new_disk();
    machine.start(&with_sums()).unwrap();
    machine.stop();
    machine.files = old_disk;
    assert_eq!(in_folder(&machine), Some(of(&counts())));
    machine.start(&with_sums()).unwrap();
    assert_eq!(in_folder(&machine), Some(of(&with_sums())));

    // What was kept is on disk before the first record is processed.
    machine.append("in", "anna", 1, 10);
    machine.settle().unwrap();
    machine.crash();
    assert_eq!(in_folder(&machine), Some(of(&with_sums())));
    machine.start(&with_sums()).unwrap();
}

#[test]
fn more_partitions_than_the_state_has_are_refused() {
    let mut machine = machine();
    let topology = |topic: &str, partitions: u32| {
        let builder = StreamsBuilder::new("app");
        let stream = builder.stream(&numbers(topic));
        stream.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
        (builder.build().unwrap(), partitions)
    };
    machine.start(&topology("in", PARTITIONS).0).unwrap();
    machine.stop();
    let spec = log::TopicSpec {
        name: "wide".to_owned(),
        partitions: 4,
        replication: 1,
        cleanup: log::Cleanup::Keep,
    };
    log::Log::admin(machine.log()).unwrap().ensure_topics(&[spec]).unwrap();
    let (verdict, _, text) = refusal(&mut machine, &topology("wide", 4).0);
    assert_eq!(verdict, Verdict::Incompatible);
    assert!(text.contains("partitions of store `counts` (node `counts`): was 2, is 4"), "{text}");
}
