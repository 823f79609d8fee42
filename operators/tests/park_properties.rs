//! Parked keys against what must come of them: whatever fails when, and whatever is released when, each record passes
//! once and each key keeps its order.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use operators::{DriverOptions, I64Be, StreamsBuilder, Topic, TopologyTestDriver, Utf8};
use proptest::prelude::*;

use turns::{KEYS, Turn, numbers, turn};

#[derive(Clone, Copy, Debug)]
enum Step {
    Record(usize),
    /// Records of a key fail from now on, or don't any more.
    Breaks(usize, bool),
    Release(usize),
    Turn(Turn),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    prop_oneof![
        8 => key().prop_map(Step::Record),
        4 => (key(), any::<bool>()).prop_map(|(key, breaks)| Step::Breaks(key, breaks)),
        3 => key().prop_map(Step::Release),
        6 => turn().prop_map(Step::Turn),
    ]
}

/// A running sum per key behind the gate, so that a record that passed twice, or too early, shows.
fn flow(broken: &Arc<Mutex<BTreeSet<i64>>>, partitions: u32) -> TopologyTestDriver {
    let broken = Arc::clone(broken);
    let builder = StreamsBuilder::new("test");
    let sums = builder.stream(&numbers("in")).state_machine::<i64, i64>(
        "sums",
        I64Be,
        move |_, sum, input, ctx| {
            let operators::Input::Message(n) = input else { return };
            let sum = sum.copied().unwrap_or(0).wrapping_mul(3).wrapping_add(*n);
            ctx.set(sum);
            ctx.emit(sum);
            if broken.lock().unwrap().contains(&(n % KEYS.len() as i64)) {
                ctx.fail("broken");
            }
        },
    );
    sums.park_key("guard").to(&numbers("out"));
    let options = DriverOptions { partitions, ..Default::default() };
    TopologyTestDriver::with(&builder.build().unwrap(), options)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_interleaving_gives_the_same_order_per_key(
        steps in prop::collection::vec(step(), 1..80),
        partitions in 1u32..3,
        auto_commit: bool,
    ) {
        let broken = Arc::default();
        let driver = flow(&broken, partitions);
        driver.auto_commit(auto_commit);
        let control = Topic::<str, str>::new("test-guard-control", Utf8, Utf8);
        let (mut expected, mut sums) = (BTreeMap::<String, Vec<i64>>::new(), BTreeMap::new());
        for (nth, step) in (0i64..).zip(steps) {
            match step {
                Step::Record(key) => {
                    // Its remainder says whose it is.
                    let n = nth * KEYS.len() as i64 + key as i64;
                    let sum = sums.entry(key).or_insert(0i64);
                    *sum = sum.wrapping_mul(3).wrapping_add(n);
                    expected.entry(KEYS[key].to_owned()).or_default().push(*sum);
                    driver.input(&numbers("in")).pipe(KEYS[key], &n);
                }
                Step::Breaks(key, true) => { broken.lock().unwrap().insert(key as i64); }
                Step::Breaks(key, false) => { broken.lock().unwrap().remove(&(key as i64)); }
                Step::Release(key) => driver.input(&control).pipe(KEYS[key], "release"),
                Step::Turn(turn) => turn.take(&driver),
            }
            driver.run().unwrap();
        }
        broken.lock().unwrap().clear();
        for key in KEYS {
            driver.input(&control).pipe(key, "release");
        }
        driver.run().unwrap();
        driver.commit();
        let mut out = BTreeMap::<String, Vec<i64>>::new();
        for (key, value) in driver.output(&numbers("out")).read_key_values() {
            out.entry(key.unwrap()).or_default().push(value.unwrap());
        }
        prop_assert_eq!(out, expected);
        // Only the counter is left, if there was anything.
        prop_assert!(driver.rows("guard").len() <= partitions as usize);
    }
}
