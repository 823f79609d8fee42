//! The task's own rules, with the caller's part played by hand: order, timers, dead letters.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::sync::Arc;

use operators::{
    DriverOptions, ErrorPolicy, Globals, Headers, I64Be, Input, InputRecord, Ran, RawBytes,
    StreamsBuilder, Task, TaskError, TaskId, Topic, Topology, TopologyTestDriver, Utf8,
};
use state_stores::{MemoryEngine, StateDir, StateOptions};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

/// Numbers are copied to `out`; each key repeats its last one as a negative when its deadline, set
/// to the first record's value, is due.
fn repeater() -> Topology {
    let builder = StreamsBuilder::new("test");
    let both = builder.stream(&numbers("a")).merge(&builder.stream(&numbers("b")));
    let machine = both.state_machine::<i64, i64>("m", I64Be, |_, last, input, ctx| match input {
        Input::Message(n) => {
            if last.is_none() {
                ctx.deadline(Some(*n));
            }
            ctx.set(*n);
            ctx.emit(*n);
        }
        Input::Timer(_) => {
            ctx.emit(-last.copied().unwrap_or(0));
        }
    });
    machine.to(&numbers("out"));
    builder.build().unwrap()
}

fn task(topology: &Topology) -> (Task, Arc<StateDir>) {
    let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
    let id = TaskId { subtopology: 0, partition: 0 };
    let state = dir.task_state(0, &topology.subtopologies()[0].stores).unwrap();
    let mut task = topology.task(id, state, Arc::new(Globals::new(topology)));
    task.set_position(0, 0);
    task.set_position(1, 0);
    (task, dir)
}

fn push(task: &mut Task, source: usize, offset: i64, timestamp: i64, n: i64) {
    let value = n.to_be_bytes();
    task.push(
        source,
        InputRecord { offset, timestamp, key: Some(b"k"), value: Some(&value), headers: &[] },
    );
}

/// Numbers of `in` plus their key's row of `rows`.
fn joined() -> Topology {
    let builder = StreamsBuilder::new("test");
    let rows = builder.table("rows", &numbers("rows"));
    builder.stream(&numbers("in")).join("j", &rows, |n, row| n + row).to(&numbers("out"));
    builder.build().unwrap()
}

#[test]
fn a_join_waits_for_rows_that_are_in_the_log() {
    let (mut task, _dir) = task(&joined());
    let (rows, stream) = (0, 1);
    push(&mut task, stream, 0, 20, 1);
    assert_eq!(task.run_once(0).unwrap(), Ran::NeedsLevel);
    task.observe_level(&[1, 1]);
    assert_eq!(task.run_once(0).unwrap(), Ran::Idle, "one row is there and not fetched");
    push(&mut task, rows, 0, 10, 100);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record, "level with what was read before");
    assert_eq!(drain(&mut task), [101]);
}

#[test]
fn one_reading_counts_for_all_that_is_buffered_and_holes_are_stepped_over() {
    let (mut task, _dir) = task(&joined());
    push(&mut task, 0, 0, 10, 100);
    push(&mut task, 1, 0, 20, 1);
    push(&mut task, 1, 1, 21, 2);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record, "no buffer is empty");
    assert_eq!(task.run_once(0).unwrap(), Ran::NeedsLevel);
    // A marker stands behind the row.
    task.observe_level(&[2, 3]);
    assert_eq!(task.run_once(0).unwrap(), Ran::Idle);
    task.advance(0, 2);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    push(&mut task, 1, 2, 22, 3);
    assert_eq!(task.run_once(0).unwrap(), Ran::NeedsLevel, "it came after the reading");
    task.observe_level(&[2, 3]);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    assert_eq!(drain(&mut task), [101, 102, 103]);
}

fn drain(task: &mut Task) -> Vec<i64> {
    let mut out = Vec::new();
    task.outputs()
        .drain(|record| out.push(i64::from_be_bytes(record.value.unwrap().try_into().unwrap())));
    out
}

#[test]
fn a_record_that_is_delivered_again_is_taken_once_and_moves_nothing_back() {
    let (mut task, _dir) = task(&repeater());
    task.set_position(0, 3);
    push(&mut task, 0, 2, 10, 7);
    for offset in [3, 5, 3, 5, 8] {
        push(&mut task, 0, offset, offset, 9000 + offset);
    }
    while task.run_once(0).unwrap() == Ran::Record {}
    push(&mut task, 0, 5, 20, 9005);
    while task.run_once(0).unwrap() == Ran::Record {}
    assert_eq!(drain(&mut task), [9003, 9005, 9008]);
    assert_eq!(task.positions()[0], Some(9));
    task.set_position(0, 5);
    push(&mut task, 0, 5, 20, 9005);
    while task.run_once(0).unwrap() == Ran::Record {}
    assert_eq!(drain(&mut task), [9005], "a position that is set counts anew");
}

#[test]
fn the_lowest_head_timestamp_goes_first_and_positions_follow() {
    let (mut task, _dir) = task(&repeater());
    for (source, offset, timestamp, n) in
        [(0, 0, 30, 9000), (0, 1, 10, 2), (1, 4, 20, 3), (1, 7, 40, 4)]
    {
        push(&mut task, source, offset, timestamp, n);
    }
    let mut positions = Vec::new();
    while task.run_once(0).unwrap() == Ran::Record {
        positions.push((task.positions()[0].unwrap(), task.positions()[1].unwrap()));
    }
    assert_eq!(drain(&mut task), [3, 9000, 2, 4]);
    assert_eq!(positions, [(0, 5), (1, 5), (2, 5), (2, 8)]);
    assert!(task.uncommitted() && task.staged_bytes() > 0);
    task.committed(&[]);
    assert!(!task.uncommitted() && task.staged_bytes() == 0);
}

#[test]
fn a_timer_waits_for_all_that_was_written_before_its_end_was_read() {
    let (mut task, _dir) = task(&repeater());
    push(&mut task, 0, 0, 5, 100);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    assert_eq!(task.next_timer(), Some(100));
    assert_eq!(task.run_once(99).unwrap(), Ran::Idle);

    // The system was down until 5000; meanwhile two records came, one of them in a buffer already.
    push(&mut task, 0, 1, 4000, 7);
    assert_eq!(task.run_once(5000).unwrap(), Ran::NeedsEnds);
    task.observe_ends(&[3, 0], 50);
    assert_eq!(
        task.run_once(5000).unwrap(),
        Ran::NeedsEnds,
        "ends read before the timer was due don't count"
    );
    task.observe_ends(&[3, 0], 5000);
    assert_eq!(task.run_once(5000).unwrap(), Ran::Record);
    assert_eq!(task.run_once(5000).unwrap(), Ran::Idle, "offset 2 isn't processed yet");
    push(&mut task, 0, 2, 4500, 8);
    push(&mut task, 0, 3, 9000, 9);
    assert_eq!(task.run_once(5000).unwrap(), Ran::Record);
    assert_eq!(
        task.run_once(5000).unwrap(),
        Ran::Timer,
        "offset 3 was written after the end was read, and is later"
    );
    assert_eq!(task.run_once(5000).unwrap(), Ran::Record);
    assert_eq!(drain(&mut task), [100, 7, 8, -8, 9]);
    assert_eq!(task.next_timer(), None);
}

#[test]
fn holes_in_the_log_do_not_block_timers() {
    let (mut task, _dir) = task(&repeater());
    push(&mut task, 0, 0, 5, 100);
    assert_eq!(task.run_once(0).unwrap(), Ran::Record);
    assert_eq!(task.run_once(100).unwrap(), Ran::NeedsEnds);
    task.observe_ends(&[2, 0], 100);
    assert_eq!(task.run_once(100).unwrap(), Ran::Idle);
    task.advance(0, 2);
    assert_eq!(task.run_once(100).unwrap(), Ran::Timer);
}

#[test]
fn an_aborted_task_begins_again_on_its_committed_state() {
    let topology = repeater();
    let (mut task, _dir) = task(&topology);
    push(&mut task, 0, 0, 5, 100);
    task.run_once(0).unwrap();
    task.committed(&[]);
    push(&mut task, 0, 1, 6, 50);
    task.run_once(0).unwrap();
    let mut state = task.into_state();
    state.discard();
    let mut task = topology.task(
        TaskId { subtopology: 0, partition: 0 },
        state,
        Arc::new(Globals::new(&topology)),
    );
    assert_eq!(task.next_timer(), Some(i64::MIN), "unknown until it ran once");
    assert_eq!(task.run_once(0).unwrap(), Ran::Idle);
    assert_eq!(task.next_timer(), Some(100));
    assert!(!task.uncommitted() && task.outputs().is_empty());
}

#[test]
fn what_can_not_be_decoded_is_a_dead_letter_and_the_partition_goes_on() {
    let driver = TopologyTestDriver::with(&repeater(), DriverOptions::default());
    let headers: Headers = [("traceparent", &b"00-1"[..])].into_iter().collect();
    driver.pipe_input("a", Some(b"k"), Some(b"garbage"), 7, &headers).unwrap();
    driver.input(&numbers("a")).pipe("k", &1);
    assert_eq!(driver.output(&numbers("out")).read_values(), [1]);
    let mut letters = driver.output(&Topic::<[u8], [u8]>::new("dead_letters", RawBytes, RawBytes));
    let letter = letters.read_record().unwrap();
    assert_eq!(
        (letter.key.as_deref(), letter.value.as_deref()),
        (Some(&b"k"[..]), Some(&b"garbage"[..]))
    );
    let header =
        |name: &str| String::from_utf8_lossy(letter.headers.get(name).unwrap_or(b"?")).into_owned();
    assert_eq!(header("orders.timestamp"), "7", "the record's time; the letter has the task's");
    assert_ne!(letter.timestamp, 7);
    assert_eq!(header("traceparent"), "00-1");
    assert_eq!(header("__streams.errors.exception"), "decode");
    assert_eq!(header("__streams.errors.message"), "value: i64-be: 7 bytes instead of 8");
    assert_eq!(header("__streams.errors.topic"), "a");
    assert_eq!(header("__streams.errors.partition"), "0");
    assert_eq!(header("__streams.errors.offset"), "0");
    assert_eq!(header("orders.node"), "source-a");
    assert_eq!(header("orders.application"), "test");
    assert!(letters.is_empty());
}

/// A machine that counts, and behind it a check that refuses 13.
fn counted_then_checked(policy: ErrorPolicy) -> TopologyTestDriver {
    let builder = StreamsBuilder::new("test");
    let counted = builder.stream(&numbers("a")).state_machine::<i64, i64>(
        "m",
        I64Be,
        |_, count, input, ctx| {
            if let Input::Message(n) = input {
                ctx.set(count.unwrap_or(&0) + 1);
                ctx.deadline(Some(1000));
                ctx.emit(*n);
            }
        },
    );
    counted.to(&numbers("before"));
    let checked = counted.try_map_values(|n| if *n == 13 { Err("thirteen") } else { Ok(*n) });
    checked.on_error(policy).to(&numbers("out"));
    TopologyTestDriver::new(&builder.build().unwrap())
}

#[test]
fn skip_and_dead_letter_undo_state_outputs_and_timers() {
    for (policy, letters) in [(ErrorPolicy::Skip, 0), (ErrorPolicy::DeadLetter, 1)] {
        let driver = counted_then_checked(policy);
        driver.input(&numbers("a")).pipe("k", &13);
        assert_eq!(driver.machine_state::<str, i64>("m", Utf8, I64Be, "k"), None);
        assert_eq!(driver.next_timer(), None);
        assert!(driver.output(&numbers("before")).is_empty());
        assert_eq!(driver.output(&numbers("dead_letters")).read_values().len(), letters);
        driver.input(&numbers("a")).pipe("k", &1);
        assert_eq!(driver.machine_state::<str, i64>("m", Utf8, I64Be, "k"), Some(1));
    }
}

#[test]
fn fail_names_the_record_and_comes_back_after_an_abort() {
    let driver = counted_then_checked(ErrorPolicy::Fail);
    driver.input(&numbers("a")).pipe("k", &1);
    let failed =
        driver.input(&numbers("a")).try_pipe(Some("k"), Some(&13), 0, &Headers::new()).unwrap_err();
    let TaskError::Record { topic, offset, .. } = &failed else { panic!("{failed}") };
    assert_eq!((&**topic, *offset), ("a", 1));
    assert!(failed.to_string().contains("thirteen"), "{failed}");
    driver.abort();
    assert!(driver.run().is_err());
    assert_eq!(driver.machine_state::<str, i64>("m", Utf8, I64Be, "k"), Some(1));
}

#[test]
fn records_that_came_while_the_application_was_down_precede_its_deadlines() {
    let options = DriverOptions { fetch: 1, ..Default::default() };
    let driver = TopologyTestDriver::with(&repeater(), options);
    driver.input(&numbers("a")).pipe("k", &100);
    for n in 1..=5 {
        driver.input(&numbers("b")).enqueue(Some("k"), Some(&n), 7_000_000 + n, &Headers::new());
    }
    driver.restart();
    driver.advance_wall_clock(7_200_000);
    assert_eq!(driver.output(&numbers("out")).read_values(), [100, 1, 2, 3, 4, 5, -5]);
}

#[test]
fn a_crash_between_commit_and_apply_loses_and_doubles_nothing() {
    let driver = TopologyTestDriver::new(&repeater());
    driver.auto_commit(false);
    driver.input(&numbers("a")).pipe("k", &100);
    driver.commit_and_die();
    driver.restart();
    driver.run().unwrap();
    driver.commit();
    assert_eq!(driver.output(&numbers("out")).read_values(), [100]);
    assert_eq!(driver.next_timer(), Some(100));
    driver.input(&numbers("a")).pipe("k", &7);
    driver.restart();
    driver.run().unwrap();
    driver.commit();
    assert_eq!(driver.output(&numbers("out")).read_values(), [100, 7]);
}
