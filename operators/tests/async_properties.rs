//! Calls to services against what must come of them, with commits, aborts and crashes at random places.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod turns;

use std::collections::{BTreeMap, BTreeSet};

use operators::{
    AsyncCall, CallError, DriverOptions, I64Be, RawBytes, StreamsBuilder, Topic, TopologyTestDriver,
};
use proptest::prelude::*;

use turns::{KEYS, Turn, numbers, turn};

const IN_FLIGHT: usize = 2;
const PENDING: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record of this key.
    Record(usize),
    /// The service answers the n-th call under way, or refuses it.
    Answer(usize, bool),
    /// It answers a call a second time.
    Repeat(usize),
    Pass(i64),
    Turn(Turn),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS.len()).prop_map(Step::Record),
        8 => (0..4usize, prop::bool::weighted(0.7)).prop_map(|(call, replies)| Step::Answer(call, replies)),
        1 => (0..8usize).prop_map(Step::Repeat),
        2 => (1i64..60).prop_map(Step::Pass),
        7 => turn().prop_map(Step::Turn),
    ]
}

fn call() -> AsyncCall<i64, i64> {
    AsyncCall::new("service", I64Be, I64Be)
        .max_in_flight(IN_FLIGHT)
        .max_pending(PENDING)
        .timeout_ms(40)
        .retry(u32::MAX, 10, 30)
}

struct Run {
    driver: TopologyTestDriver,
    /// Records by key.
    sent: BTreeMap<&'static str, Vec<i64>>,
    next: i64,
    /// The id under which each record was asked about.
    ids: BTreeMap<i64, String>,
    known: Vec<(String, i64)>,
}

impl Run {
    fn new(partitions: u32, auto_commit: bool) -> Self {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        stream.map_async(&call(), |_, n| *n, |_, n, reply| n + reply).to(&numbers("out"));
        let options = DriverOptions { partitions, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        driver.auto_commit(auto_commit);
        Self { driver, sent: BTreeMap::new(), next: 0, ids: BTreeMap::new(), known: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        let driver = &self.driver;
        let calls = driver.calls(&call());
        match step {
            Step::Record(key) => {
                self.sent.entry(KEYS[key]).or_default().push(self.next);
                driver.input(&numbers("in")).pipe(KEYS[key], &self.next);
                self.next += 1;
            }
            Step::Answer(nth, replies) => {
                if let Some(under_way) = calls.get(nth) {
                    let busy = || CallError::Failed("busy".to_owned());
                    let reply = if replies { Ok(&1_000) } else { Err(busy()) };
                    self.known.push((under_way.id.to_string(), under_way.request));
                    driver.answer(&call(), &under_way.id, reply).unwrap();
                }
            }
            Step::Repeat(nth) => {
                if let Some((id, _)) = self.known.get(nth) {
                    driver.answer(&call(), id, Ok(&1_000)).unwrap();
                }
            }
            Step::Pass(ms) => driver.advance_wall_clock(ms),
            Step::Turn(turn) => turn.take(driver),
        }
        driver.run().unwrap();
        self.look();
    }

    /// What must hold at any time.
    fn look(&mut self) {
        let calls = self.driver.calls(&call());
        let changelog = Topic::<[u8], [u8]>::new("test-service-changelog", RawBytes, RawBytes);
        let committed = self.driver.output(&changelog).read_values();
        for call in &calls {
            let known = self.ids.entry(call.request).or_insert_with(|| call.id.to_string());
            assert_eq!(known, &*call.id, "an id for good");
            let id = call.id.as_bytes();
            let has = |row: &Vec<u8>| row.windows(id.len()).any(|part| part == id);
            assert!(committed.iter().any(has), "{call:?} was never committed");
        }
        let key_of = |n: i64| self.sent.iter().find(|(_, sent)| sent.contains(&n)).unwrap().0;
        let keys: BTreeSet<_> = calls.iter().map(|call| key_of(call.request)).collect();
        assert_eq!(keys.len(), calls.len(), "one of each key");
    }

    fn results(&self) -> BTreeMap<String, Vec<i64>> {
        let mut results: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (key, value) in self.driver.output(&numbers("out")).read_key_values() {
            results.entry(key.unwrap()).or_default().push(value.unwrap() - 1_000);
        }
        results
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_record_has_one_result_in_the_order_of_its_key(
        steps in prop::collection::vec(step(), 1..80),
        partitions in 1u32..3,
        auto_commit: bool,
    ) {
        let mut run = Run::new(partitions, auto_commit);
        for step in steps {
            run.step(step);
            let most = partitions as usize;
            prop_assert!(run.driver.calls(&call()).len() <= IN_FLIGHT * most);
            // Each partition has one row more, its counter.
            prop_assert!(run.driver.rows("service").len() <= (PENDING + 1) * most);
        }
        let expected: BTreeMap<String, Vec<i64>> =
            run.sent.iter().map(|(key, sent)| ((*key).to_owned(), sent.clone())).collect();
        let mut rounds = 0;
        while run.results() != expected {
            prop_assert!(rounds < 1_000, "{:?} instead of {:?}", run.results(), expected);
            rounds += 1;
            run.step(Step::Answer(0, true));
            run.step(Step::Turn(Turn::Commit));
            run.step(Step::Pass(30));
        }
        prop_assert!(run.driver.calls(&call()).is_empty());
    }
}
