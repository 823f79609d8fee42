//! `TopologyTestDriver`: runs a topology in a test, with no broker and no real time.
//!
//! It builds the production [`crate::Task`] on in-memory topics and a clock moved by
//! hand, so a test that passes here says something about production. After
//! every record it commits, unless told otherwise; a test can then crash the
//! application between any two steps and look at what comes back.

mod calls;
mod chaos;
mod core;
mod log;
mod reading;
mod topics;
mod transactions;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

pub use self::calls::TestCall;
use self::core::Core;
use self::log::Stored;
pub use self::topics::{TestInputTopic, TestOutputTopic, TestRecord};
use crate::context::Dropped;
use crate::headers::Headers;
use crate::observed::Observation;
use crate::task::TaskError;
use crate::topic::Topic;
use crate::topology::Topology;

/// How a driver begins.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Partitions of every topic (1).
    pub partitions: u32,
    /// Topics with another count.
    pub topic_partitions: BTreeMap<Arc<str>, u32>,
    /// Topics that don't exist, of those that records may name ([`KStream::to_named`](crate::KStream::to_named)). All
    /// others do.
    pub missing_topics: BTreeSet<Arc<str>>,
    /// The clock at the start, ms since 1970 (0).
    pub now_ms: i64,
    /// Records a task takes into its buffer per source at a time (all).
    pub fetch: usize,
    /// Lets this seed decide in which order tasks run, how much they fetch (`fetch` says nothing), when they
    /// commit, one by one or together, when state is written back, and where transactions abort and the application
    /// dies: before a commit, between the log's commit and the state's, or while it restores, with its disk or without.
    /// A call that runs the flow still returns when all is done and committed; [`TopologyTestDriver::auto_commit`] says
    /// nothing. A test that panics prints the seed.
    pub seed: Option<u64>,
}

impl DriverOptions {
    /// The defaults, with a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::default() }
    }
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            topic_partitions: BTreeMap::new(),
            missing_topics: BTreeSet::new(),
            now_ms: 0,
            fetch: usize::MAX,
            seed: None,
        }
    }
}

/// Runs all tasks of a topology on topics in memory.
pub struct TopologyTestDriver {
    core: Rc<RefCell<Core>>,
}

impl TopologyTestDriver {
    /// One partition per topic, the clock at 0.
    ///
    /// # Panics
    /// When the topology's topics can't be read together.
    pub fn new(topology: &Topology) -> Self {
        Self::with(topology, DriverOptions::default())
    }

    /// As [`Self::new`], with options.
    ///
    /// # Panics
    /// See [`Self::new`].
    pub fn with(topology: &Topology, options: DriverOptions) -> Self {
        Self { core: Rc::new(RefCell::new(Core::new(topology, options))) }
    }

    /// Plays a test on a plain driver, then under each of these seeds (see [`DriverOptions::seed`]), and holds what it
    /// gives to what the plain run gave, which is returned.
    ///
    /// ```
    /// use operators::{DriverOptions, I64Be, Materialized, StreamsBuilder, Topic, TopologyTestDriver, Utf8};
    ///
    /// # fn main() -> Result<(), operators::TopologyError> {
    /// let lines = Topic::<str, str>::new("lines", Utf8, Utf8);
    /// let counts = Topic::<str, i64>::new("counts", Utf8, I64Be);
    /// let builder = StreamsBuilder::new("word-count");
    /// builder
    ///     .stream(&lines)
    ///     .flat_map_values::<str>(|line, emit| line.split(' ').for_each(|word| emit(word)))
    ///     .with_value_serde(Utf8)
    ///     .group_by(|_, word| word.to_owned())
    ///     .count(&Materialized::as_("counts", Utf8, I64Be))
    ///     .to_stream()
    ///     .to(&counts);
    ///
    /// let options = DriverOptions { partitions: 3, ..DriverOptions::default() };
    /// let topology = builder.build()?;
    /// let counted = TopologyTestDriver::check_seeds(&topology, &options, 0..100, |driver| {
    ///     for (key, line) in [("1", "a b a"), ("2", "b a"), ("3", "c")] {
    ///         driver.input(&lines).pipe(key, line);
    ///     }
    ///     driver.output(&counts).read_by_key()
    /// });
    /// assert_eq!(counted[&Some("a".to_owned())], [Some(1), Some(2), Some(3)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What a flow gives must not depend on what a seed decides: of records with different keys, or on different
    /// partitions, there is no order. Compare by key ([`TestOutputTopic::read_by_key`]), or what is left at the end.
    ///
    /// # Panics
    /// When a result differs, with the seed and both results; and see [`Self::new`].
    pub fn check_seeds<R: PartialEq + Debug>(
        topology: &Topology,
        options: &DriverOptions,
        seeds: impl IntoIterator<Item = u64>,
        play: impl Fn(&Self) -> R,
    ) -> R {
        let run = |seed| play(&Self::with(topology, DriverOptions { seed, ..options.clone() }));
        let plain = run(None);
        for seed in seeds {
            assert_eq!(run(Some(seed)), plain, "seed {seed} (left) and a plain run (right)");
        }
        plain
    }

    /// A typed way to write to a topic.
    pub fn input<K: ?Sized + 'static, V: ?Sized + 'static>(
        &self,
        topic: &Topic<K, V>,
    ) -> TestInputTopic<K, V> {
        TestInputTopic { core: Rc::clone(&self.core), topic: topic.clone() }
    }

    /// A typed way to read a topic from its beginning.
    pub fn output<K: ?Sized + 'static, V: ?Sized + 'static>(
        &self,
        topic: &Topic<K, V>,
    ) -> TestOutputTopic<K, V> {
        TestOutputTopic { core: Rc::clone(&self.core), topic: topic.clone(), seen: 0 }
    }

    /// Writes bytes to a topic and runs the flow to quiet.
    pub fn pipe_input(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<(), TaskError> {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        let record = Stored { key, value, timestamp, headers: headers.clone() };
        self.core.borrow_mut().log.append(&Arc::from(topic), None, record);
        self.run()
    }

    /// Runs the flow to quiet.
    pub fn run(&self) -> Result<(), TaskError> {
        self.core.borrow_mut().run()
    }

    /// Moves the clock by `ms` and fires the timers that are due.
    ///
    /// # Panics
    /// When the flow stops with an error.
    pub fn advance_wall_clock(&self, ms: i64) {
        self.core.borrow_mut().now_ms += ms;
        self.run().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The clock, ms since 1970.
    pub fn now(&self) -> i64 {
        self.core.borrow().now_ms
    }

    /// The earliest durable timer of all tasks.
    pub fn next_timer(&self) -> Option<i64> {
        self.core.borrow().next_timer()
    }

    /// Whether every record and timer is a transaction of its own (yes at the start).
    pub fn auto_commit(&self, on: bool) {
        self.core.borrow_mut().auto_commit = on;
    }

    /// Commits what was processed since the last commit: outputs, changelogs and offsets at once.
    ///
    /// # Panics
    /// When the state can't be read.
    pub fn commit(&self) {
        let mut core = self.core.borrow_mut();
        core.commit(None, true);
        core.start_calls().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Commits to the log but not to the state in memory, as if the process died between the two:
    /// the next call must be [`Self::restart`].
    pub fn commit_and_die(&self) {
        self.core.borrow_mut().commit(None, false);
    }

    /// Aborts the open transaction: all tasks are built anew on their committed state and go on
    /// from the committed offsets.
    pub fn abort(&self) {
        self.core.borrow_mut().abort();
    }

    /// Kills the application and starts it again with nothing but the log: state is restored from
    /// the changelogs, input goes on at the committed offsets with the next run.
    pub fn restart(&self) {
        self.core.borrow_mut().restart();
    }

    /// Whether global tables stand still, as if their reader lagged behind.
    pub fn pause_globals(&self, paused: bool) {
        self.core.borrow_mut().globals_paused = paused;
    }

    /// What all tasks dropped since they were built, by reason.
    pub fn dropped(&self) -> Dropped {
        self.core.borrow().dropped()
    }

    /// What all tasks [observed](crate::ProcessorContext::observe) since they were built, task by task.
    pub fn observed(&self) -> Vec<Observation> {
        self.core.borrow().observed()
    }

    /// Names of all topics that have records, changelogs among them.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.core.borrow().log.names().cloned().collect()
    }
}

impl std::fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopologyTestDriver").field("now_ms", &self.now()).finish_non_exhaustive()
    }
}
