//! What every store does, whatever its kind, on every engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use state_stores::{Direction, StoreError, StoreIndex, TaskState};

use super::disk::Disk;
use super::world::{Model, Step, World};

/// Checks the whole contract of a kind of store.
pub(crate) fn contract<M: Model, D: Disk>() {
    let parts: [fn(World<M, D>); 11] = [
        an_open_transaction_reads_its_own_writes,
        a_rolled_back_record_leaves_nothing,
        an_aborted_transaction_leaves_nothing,
        queries_see_what_is_committed,
        a_write_back_changes_nothing,
        an_interrupted_write_back_is_made_good_by_the_changelog,
        the_changelog_alone_brings_everything_back,
        what_was_deleted_stays_deleted,
        what_was_read_from_the_base_goes_with_the_next_write_back,
        stores_and_partitions_are_apart,
        a_row_that_is_no_value_names_the_store,
    ];
    for part in parts {
        part(World::new());
    }
}

const FIRST: StoreIndex = StoreIndex(0);

/// Does the examples to the first store. At least one row is there then.
fn fill<M: Model, D: Disk>(world: &mut World<M, D>) {
    for write in M::examples() {
        world.step(Step::Write { store: 0, write });
    }
    world.check();
    assert!(world.state().count(FIRST).unwrap() > 0);
}

fn rows(state: &TaskState, store: StoreIndex) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    state.scan(store, b"", None, Direction::Forward, visit).unwrap();
    rows
}

fn an_open_transaction_reads_its_own_writes<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    M::read(world.state(), FIRST).unwrap();
    assert!(world.state().is_dirty());
}

fn a_rolled_back_record_leaves_nothing<M: Model, D: Disk>(mut world: World<M, D>) {
    for committed in [false, true] {
        world.step(Step::Savepoint);
        fill(&mut world);
        world.step(Step::Rollback);
        world.check();
        assert_eq!(world.state().count(FIRST).unwrap(), 0, "committed before: {committed}");
        assert_eq!(world.state().stream_time(FIRST), None);
        world.step(Step::Commit);
    }
}

fn an_aborted_transaction_leaves_nothing<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    world.step(Step::Discard);
    world.check();
    assert_eq!(world.state().count(FIRST).unwrap(), 0);
    assert!(!world.state().is_dirty());
}

fn queries_see_what_is_committed<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    let partition = world.state().partition();
    let query = world.dir().committed("store-0", partition).unwrap();
    let seen = || {
        let mut seen = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            seen += 1;
            ControlFlow::Continue(())
        };
        query.scan(b"", None, Direction::Forward, visit).unwrap();
        seen
    };
    assert_eq!(seen(), 0);
    let expected = world.state().count(FIRST).unwrap();
    world.step(Step::Commit);
    assert_eq!(seen(), expected);
}

fn a_write_back_changes_nothing<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    world.step(Step::Commit);
    for step in [
        Step::WriteBack { writes: None, quarters: 0, crash: false },
        Step::WriteBack { writes: None, quarters: 0, crash: true },
        Step::Move,
        Step::Restart,
    ] {
        world.step(step);
        world.check();
    }
}

fn an_interrupted_write_back_is_made_good_by_the_changelog<M: Model, D: Disk>(
    mut world: World<M, D>,
) {
    fill(&mut world);
    world.step(Step::Commit);
    for (writes, quarters) in [(0, 0), (0, 2), (1, 0), (1, 2), (2, 0)] {
        world.step(Step::WriteBack { writes: Some(writes), quarters, crash: true });
        world.check();
        fill(&mut world);
        world.step(Step::Commit);
    }
}

fn the_changelog_alone_brings_everything_back<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    world.step(Step::Commit);
    let before = rows(world.state(), FIRST);
    world.step(Step::Elsewhere);
    world.check();
    assert_eq!(rows(world.state(), FIRST), before);
    world.step(Step::Rebuild { store: 0 });
    world.check();
    assert_eq!(rows(world.state(), FIRST), before);
}

fn what_was_deleted_stays_deleted<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    world.step(Step::Commit);
    world.step(Step::WriteBack { writes: None, quarters: 0, crash: false });
    for write in M::deletions() {
        world.step(Step::Write { store: 0, write });
    }
    world.check();
    world.step(Step::Commit);
    for step in [Step::Crash { in_files: 0 }, Step::Restart, Step::Elsewhere] {
        world.step(step);
        world.check();
    }
}

fn what_was_read_from_the_base_goes_with_the_next_write_back<M: Model, D: Disk>(
    mut world: World<M, D>,
) {
    let mut known = BTreeSet::new();
    for writes in [M::examples(), M::deletions(), M::examples()] {
        for write in writes {
            world.step(Step::Write { store: 0, write });
        }
        world.step(Step::Settle);
        // Scans ask the base each time; point reads remember what it said, here of rows that were and are.
        let now: BTreeMap<_, _> = rows(world.state(), FIRST).into_iter().collect();
        known.extend(now.keys().cloned());
        for key in &known {
            assert_eq!(world.state().get(FIRST, key).unwrap().as_ref(), now.get(key));
        }
    }
}

fn stores_and_partitions_are_apart<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    world.step(Step::Commit);
    world.step(Step::WriteBack { writes: None, quarters: 0, crash: false });
    assert_eq!(world.state().count(StoreIndex(1)).unwrap(), 0);
    let other = world.dir().task_state(4, &World::<M, D>::specs()).unwrap();
    assert_eq!(other.count(FIRST).unwrap(), 0);
    assert_eq!(other.changelog_position(FIRST), None);
}

fn a_row_that_is_no_value_names_the_store<M: Model, D: Disk>(mut world: World<M, D>) {
    fill(&mut world);
    let state = world.state();
    for (key, _) in rows(state, FIRST) {
        state.put(FIRST, &key, Some(b"x"));
    }
    let error = M::read(state, FIRST).unwrap_err();
    assert!(matches!(&error, StoreError::Codec { store, .. } if store == "store-0"), "{error:?}");
}
