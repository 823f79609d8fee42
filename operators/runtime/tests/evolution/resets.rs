//! An application that begins anew, and what is told of it.

use log::{Log, LogError, TopicPartition};
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::app::{Reset, ResetError, ResetStep, Seen, StartAt, describe};
use operators_runtime::{WorkerError, WorkerStatus};

use crate::hazy::Told;
use crate::machine::{Machine, PARTITIONS};

/// Counts names under other names, so over a repartition topic.
fn counts() -> Topology {
    let builder = StreamsBuilder::new("app");
    let names = Topic::new("in", Utf8, I64Be);
    let stream = builder.stream::<str, i64>(&names);
    let renamed = stream.select_key::<str>(|key, _| key.unwrap_or_default().to_uppercase());
    renamed.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    builder.build().unwrap()
}

/// Counts names as they are, so over no other topic.
fn by_key() -> Topology {
    let builder = StreamsBuilder::new("app");
    let names = builder.stream::<str, i64>(&Topic::new("in", Utf8, I64Be));
    names.group_by_key().count(&Materialized::as_("by-key", Utf8, I64Be));
    builder.build().unwrap()
}

/// With so many records processed, and nobody running.
fn machine(records: i64) -> Machine {
    let mut machine = Machine::new(&["in"]);
    machine.start(&counts()).unwrap();
    say(&mut machine, records);
    machine.stop();
    machine
}

fn say(machine: &mut Machine, records: i64) {
    for number in 0..records {
        machine.append("in", "anna", number, 1_000 * (number + 1));
    }
    machine.settle().unwrap();
}

fn plan(machine: &Machine, start_at: StartAt) -> Result<Reset, ResetError> {
    Reset::plan(&machine.shared_log(), &counts(), start_at)
}

fn run(machine: &Machine, reset: &Reset, steps: &[ResetStep]) {
    for step in steps {
        reset.run(&machine.shared_log(), *step, 0).unwrap();
    }
}

/// How many records of this life were counted: a row of the changelog stands for all of a commit.
fn counted(machine: &Machine) -> u8 {
    let rows = machine.read("app-counts-changelog", PARTITIONS);
    rows.last().map_or(0, |(_, count, _)| *count.last().unwrap())
}

#[test]
fn nothing_is_reset_under_a_living_member() {
    let mut machine = Machine::new(&["in"]);
    machine.start(&counts()).unwrap();
    say(&mut machine, 3);
    let refused = plan(&machine, StartAt::FirstDay).unwrap_err();
    assert!(matches!(&refused, ResetError::Alive { members, .. } if *members == ["here/0"]));
    assert!(refused.to_string().contains("here/0"), "{refused}");
    machine.stop();

    let reset = plan(&machine, StartAt::FirstDay).unwrap();
    machine.start(&counts()).unwrap();
    run(&machine, &reset, &[ResetStep::Announce]);
    let forget = reset.run(&machine.shared_log(), ResetStep::ForgetOffsets, 0);
    assert!(matches!(forget, Err(ResetError::Alive { .. })), "it came after the plan: {forget:?}");
    machine.stop();
    machine.start(&counts()).expect("the announcement was taken back");
    say(&mut machine, 1);
    assert_eq!(counted(&machine), 4);
}

#[test]
fn a_plan_says_everything_and_changes_nothing() {
    let mut machine = machine(3);
    let reset = plan(&machine, StartAt::Earliest).unwrap();
    assert!(!reset.begun && !reset.is_done());
    let mut names: Vec<_> = reset.topics.iter().map(|topic| topic.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["app-counts-changelog", "app-counts-repartition", "app-manifest"]);
    let (committed, then): (Vec<_>, Vec<_>) =
        reset.inputs.iter().map(|input| (input.committed, input.then)).unzip();
    assert_eq!(committed.iter().flatten().sum::<i64>(), 3);
    assert_eq!(then, [Some(0), Some(0)]);
    machine.start(&counts()).unwrap();
    say(&mut machine, 1);
    assert_eq!(counted(&machine), 4);
}

#[test]
fn a_reset_that_died_after_any_step_is_finished_by_another() {
    for died_after in 0..=ResetStep::ALL.len() {
        let mut machine = machine(3);
        let reset = plan(&machine, StartAt::Earliest).unwrap();
        run(&machine, &reset, &ResetStep::ALL[..died_after]);
        if (1..ResetStep::ALL.len()).contains(&died_after) {
            let refused = machine.start(&counts());
            assert!(matches!(refused, Err(WorkerError::InReset { .. })), "{refused:?}");
            machine.crash();
        }
        let again = plan(&machine, StartAt::Earliest).unwrap();
        assert_eq!(again.begun, (1..ResetStep::ALL.len()).contains(&died_after));
        run(&machine, &again, &ResetStep::ALL);
        machine.start(&counts()).unwrap();
        assert_eq!(counted(&machine), 3, "died after {died_after} steps");
    }
}

#[test]
fn who_joins_after_a_reset_was_announced_does_not_go_on() {
    for steps in 0..=ResetStep::ALL.len() {
        let mut machine = machine(3);
        machine.meanwhile = Some(Box::new(move |log| {
            let reset = Reset::plan(&log, &counts(), StartAt::Earliest).unwrap();
            for step in &ResetStep::ALL[..steps] {
                reset.run(&log, *step, 0).unwrap();
            }
        }));
        let went_on = machine.start(&counts());
        match steps {
            0 => went_on.unwrap(),
            1 | 2 => assert!(matches!(went_on, Err(WorkerError::InReset { .. })), "{went_on:?}"),
            // The topics that it was to read are gone.
            _ => assert!(went_on.is_err(), "after {steps} steps"),
        }
        if steps > 0 {
            machine.crash();
            let again = plan(&machine, StartAt::Earliest).unwrap();
            run(&machine, &again, &ResetStep::ALL);
            machine.start(&counts()).unwrap();
        }
        assert_eq!(counted(&machine), 3, "{steps} steps");
    }
}

#[test]
fn what_former_topologies_left_is_deleted_too() {
    let names = |machine: &Machine, topology: &Topology| {
        let reset = Reset::plan(&machine.shared_log(), topology, StartAt::FirstDay).unwrap();
        reset.topics.into_iter().map(|topic| topic.name).collect::<Vec<_>>()
    };
    let mut machine = machine(3);
    let all = ["app-counts-changelog", "app-counts-repartition", "app-manifest"];
    assert_eq!(names(&machine, &by_key()), all, "of the topology that ran last");

    let Err(WorkerError::Manifest { token, .. }) = machine.start(&by_key()) else {
        panic!("a repartition topic was taken away")
    };
    machine.accepted = token;
    machine.start(&by_key()).unwrap();
    machine.stop();
    let all =
        ["app-by-key-changelog", "app-counts-changelog", "app-counts-repartition", "app-manifest"];
    assert_eq!(names(&machine, &by_key()), all, "of the one before, too");
    machine.start(&by_key()).unwrap();
    machine.stop();
    assert_eq!(names(&machine, &by_key()), all, "and of those before it");
}

#[test]
fn state_of_before_is_not_taken_for_that_of_now() {
    let mut machine = machine(3);
    let old_disk = machine.files.clone();
    run(&machine, &plan(&machine, StartAt::Latest).unwrap(), &ResetStep::ALL);
    machine.new_disk();
    machine.start(&counts()).unwrap();
    // More than before: the old disk's position lies within the new changelog.
    say(&mut machine, 5);
    machine.stop();
    machine.files = old_disk;
    machine.start(&counts()).unwrap();
    say(&mut machine, 1);
    assert_eq!(counted(&machine), 6);
}

#[test]
fn it_begins_where_it_is_told_to() {
    for (start_at, expected) in [
        (StartAt::FirstDay, 3),
        (StartAt::Earliest, 3),
        (StartAt::Time(2_000), 2),
        (StartAt::Time(9_000), 0),
        (StartAt::Latest, 0),
    ] {
        let mut machine = machine(3);
        let reset = plan(&machine, start_at).unwrap();
        run(&machine, &reset, &ResetStep::ALL);
        machine.start(&counts()).unwrap();
        assert_eq!(counted(&machine), expected, "{start_at:?}");
        machine.stop();
        assert!(!plan(&machine, StartAt::FirstDay).unwrap().is_done());
    }
}

#[test]
fn an_application_that_never_ran_has_nothing_to_reset() {
    let machine = Machine::new(&["in"]);
    let reset = plan(&machine, StartAt::FirstDay).unwrap();
    assert!(reset.is_done(), "{reset:?}");
    run(&machine, &reset, &ResetStep::ALL);
}

fn described(machine: &Machine, said: &dyn Fn() -> Result<Vec<WorkerStatus>, String>) -> String {
    let look = |_: &operators_runtime::app::Place| {
        said().map(|workers| Seen { workers, stores: Vec::new() })
    };
    let description = describe(&machine.shared_log(), &counts(), &look).unwrap();
    let member = |it: &operators_runtime::app::MemberDescription| {
        let phase = it.status.as_ref().map(|status| status.phase.to_string());
        format!("{}/{} {:?} {:?}", it.instance, it.thread, phase, it.silent)
    };
    let task = |it: &operators_runtime::app::TaskDescription| {
        let lag: Vec<_> = it.inputs.iter().map(|input| input.lag).collect();
        format!("{} {:?} {lag:?}", it.id, it.held_by)
    };
    let members: Vec<_> = description.members.iter().map(member).collect();
    let tasks: Vec<_> = description.tasks.iter().map(task).collect();
    format!("{} {members:?} {tasks:?}", description.state)
}

#[test]
fn it_is_told_who_holds_what_and_how_far_it_is() {
    let mut machine = Machine::new(&["in"]);
    let nobody = || Err("nobody is asked".to_owned());
    let told = described(&machine, &nobody);
    assert_eq!(
        told,
        r#"Dead [] ["0_0 None [Some(0)]", "0_1 None [Some(0)]", "1_0 None [None]", "1_1 None [None]"]"#
    );
    machine.start(&counts()).unwrap();
    let told = described(&machine, &|| Ok(vec![machine.status()]));
    assert!(told.starts_with(r#"Stable ["here/0 Some(\"running\") None"]"#), "{told}");
    assert!(told.contains(r#"1_1 Some((\"here\", 0)) [Some(0)]"#), "{told}");
    let silent = described(&machine, &|| Err("connection refused".to_owned()));
    assert!(silent.contains("here/0 None Some(\\\"connection refused\\\")"), "{silent}");
    machine.stop();
    machine.append("in", "anna", 1, 1);
    let told = described(&machine, &nobody);
    let lagging = told.matches("[Some(1)]").count();
    assert!(told.starts_with("Empty []") && lagging == 1, "{told}");
}

#[test]
fn who_still_reads_a_deleted_topic_is_told() {
    let machine = machine(1);
    let at = TopicPartition::new("app-manifest", 0);
    let log = machine.shared_log();
    let (committed, written) = (log::Isolation::ReadCommitted, log::Visibility::Written);
    let mut reader = Log::reader(log.as_ref(), "test", committed, written).unwrap();
    reader.assign(&[(at, 0)]).unwrap();
    log.admin().unwrap().delete_topics(&["app-manifest"]).unwrap();
    let read = reader.poll(std::time::Duration::ZERO, 10, &mut |_| ());
    assert!(matches!(read, Err(LogError::OffsetOutOfRange { .. })), "{read:?}");
}

#[test]
fn a_broker_that_has_just_heard_of_the_manifest_tells_of_no_reset() {
    // Asked when the worker starts, and again when it is a member.
    for answers in [
        [Told::Nothing, Told::All],
        [Told::NoId, Told::All],
        [Told::All, Told::Nothing],
        [Told::All, Told::NoId],
    ] {
        let mut machine = machine(1);
        machine.answers.lock().unwrap().extend(answers);
        machine.start(&counts()).unwrap();
        say(&mut machine, 2);
        assert_eq!(counted(&machine), 3, "{answers:?}");
        assert!(machine.answers.lock().unwrap().is_empty(), "{answers:?}: it was asked twice");
    }
}
