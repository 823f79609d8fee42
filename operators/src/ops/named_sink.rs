//! `to_named`: records name the topics they go to, at run time (D08, `TopicNameExtractor`).
//!
//! The task knows no log, so it asks once per name whether the topic is there ([`crate::Ran::NeedsTopic`]) and does the
//! same record again. Invariant: nothing is sent to a topic that wasn't found, so none is ever made by sending.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use state_stores::Serde;

use super::sink::Sink;
use crate::assembly::Assembly;
use crate::context::TaskContext;
use crate::failure::{ErrorPolicy, Failure};
use crate::graph::{NodeId, NodeKind};
use crate::process::Process;
use crate::record::Record;
use crate::stream::KStream;
use crate::topic::{IntoSerde, Topic};
use crate::topology::names;

/// What all topics that records name have in common: their codecs, and what becomes of a record whose topic isn't there.
pub struct Produced<K: ?Sized, V: ?Sized> {
    key: Serde<K>,
    value: Serde<V>,
    policy: ErrorPolicy,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Produced<K, V> {
    /// These codecs; a topic that isn't there is a failure.
    pub fn with(key: impl IntoSerde<K>, value: impl IntoSerde<V>) -> Self {
        Self { key: key.into_serde(), value: value.into_serde(), policy: ErrorPolicy::Fail }
    }

    /// Another policy for records that can't be written.
    #[must_use]
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        Self { policy, ..self }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for Produced<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Produced").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Gives the name of a topic, or none.
type Name<K, V> = dyn for<'a> Fn(Record<'a, K, V>) -> Option<Cow<'a, str>> + Send + Sync;

struct NamedSink<K: ?Sized, V: ?Sized> {
    id: NodeId,
    name: Arc<Name<K, V>>,
    /// Numbers of the topics that were found.
    found: BTreeMap<Arc<str>, u32>,
    /// What the application reads or keeps for itself.
    own: BTreeSet<Arc<str>>,
    sink: Sink<K, V>,
}

impl<K: ?Sized, V: ?Sized> NamedSink<K, V> {
    fn find(&mut self, name: &str, ctx: &TaskContext) -> Result<u32, Failure> {
        if let Some(number) = self.found.get(name) {
            return Ok(*number);
        }
        let fail = |cause: String| Err(Failure::node(self.id, cause));
        if let Some(problem) = names::problem(name) {
            return fail(format!("the topic name `{name}` {problem}; no log has such a topic"));
        }
        if self.own.contains(name) {
            return fail(format!(
                "topic `{name}` is one that this application reads or keeps for itself; name another, or declare a \
                 circle with `StreamsBuilder::feedback`"
            ));
        }
        match ctx.outputs.found(name, ctx.now_ms) {
            None => Err(Failure::needs_topic(name)),
            Some(None) => fail(format!("topic `{name}` doesn't exist; create it")),
            Some(Some(number)) => {
                self.found.insert(Arc::from(name), number);
                Ok(number)
            }
        }
    }
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for NamedSink<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(name) = (self.name)(record) else { return Ok(()) };
        self.sink.topic = self.find(&name, ctx)?;
        self.sink.process(record, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Writes each record to the topic that `name` gives for it, `None` to none (D08, as `to` with a
    /// `TopicNameExtractor`). Names may be made at run time; the topology's pictures can't show them, so where they are
    /// known [`Self::to_one_of`] says more.
    ///
    /// A topic isn't created by writing to it. A name of no topic, and that of one which the application reads or keeps
    /// for itself, is an error of this node; what follows, `produced` says. A topic that wasn't there is looked for
    /// again a second later.
    ///
    /// ```
    /// use operators::{ErrorPolicy, I64Be, Produced, StreamsBuilder, Topic, TopologyTestDriver, Utf8};
    ///
    /// let payments = Topic::<str, i64>::new("payments", Utf8, I64Be);
    /// let builder = StreamsBuilder::new("by-country");
    /// builder
    ///     .stream(&payments)
    ///     .to_named(Produced::with(Utf8, I64Be).on_error(ErrorPolicy::DeadLetter), |payment| {
    ///         Some(format!("payments-{}", payment.key?).into())
    ///     });
    /// let driver = TopologyTestDriver::new(&builder.build().unwrap());
    /// driver.input(&payments).pipe("fr", &20);
    /// let french = Topic::<str, i64>::new("payments-fr", Utf8, I64Be);
    /// assert_eq!(driver.output(&french).read_values(), [20]);
    /// ```
    pub fn to_named(
        &self,
        produced: Produced<K, V>,
        name: impl for<'a> Fn(Record<'a, K, V>) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    ) {
        let Produced { key, value, policy } = produced;
        let codecs = Topic::new("", key, value);
        let name: Arc<Name<K, V>> = Arc::new(name);
        let build = move |assembly: &mut Assembly<'_>, id| {
            let (sink, own) = (Sink::new(id, 0, &codecs, false), assembly.own_topics());
            let (name, found) = (Arc::clone(&name), BTreeMap::new());
            assembly.install::<K, V>(id, NamedSink { id, name, found, own, sink });
        };
        let mut graph = self.flow.borrow_mut();
        let node = graph.add(None, NodeKind::Sink(Vec::new()), &[self.node], Box::new(build));
        graph.nodes[node.0].policy = policy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, RawBytes, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{DEAD_LETTERS, DriverOptions, StreamsBuilder, Topology, TopologyTestDriver};

    /// Numbers go to `n<number>`, 0 nowhere, and negative ones to the topics given.
    fn topology(policy: ErrorPolicy, names: &'static [&'static str]) -> Topology {
        let builder = StreamsBuilder::new("test");
        let numbers = builder.stream(&numbers("in"));
        let produced = Produced::with(Utf8, I64Be).on_error(policy);
        numbers.to_named(produced, |record| match record.value? {
            0 => None,
            n if *n < 0 => Some(names[n.unsigned_abs() as usize - 1].into()),
            n => Some(format!("n{n}").into()),
        });
        numbers.group_by_key().count(&crate::Materialized::as_("sums", Utf8, I64Be));
        builder.build().unwrap()
    }

    fn letters(driver: &TopologyTestDriver) -> Vec<String> {
        let letters = Topic::<[u8], [u8]>::new(DEAD_LETTERS, RawBytes, RawBytes);
        let letters = driver.output(&letters).read_records().into_iter();
        let cause =
            |headers: crate::Headers| headers.get("__streams.errors.message").unwrap().to_vec();
        letters.map(|letter| String::from_utf8(cause(letter.headers)).unwrap()).collect()
    }

    #[test]
    fn topics_are_made_up_while_it_runs() {
        let options = DriverOptions { partitions: 3, ..DriverOptions::default() };
        let flow = topology(ErrorPolicy::Fail, &[]);
        let written = TopologyTestDriver::check_seeds(&flow, &options, 0..50, |driver| {
            for (key, n) in [("a", 1), ("b", 2), ("c", 0), ("d", 1)] {
                driver.input(&numbers("in")).pipe(key, &n);
            }
            [1, 2].map(|n| driver.output(&numbers(&format!("n{n}"))).read_by_key())
        });
        assert_eq!(written[0].keys().flatten().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(written[1].keys().flatten().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_name_of_no_topic_follows_the_policy() {
        let names = &["missing", "a b", "test-sums-changelog", "in"];
        let flow = topology(ErrorPolicy::DeadLetter, names);
        let missing_topics = ["missing".into()].into();
        let driver =
            TopologyTestDriver::with(&flow, DriverOptions { missing_topics, ..Default::default() });
        for n in [-1, -2, -3, -4, 7] {
            driver.input(&numbers("in")).pipe("k", &n);
        }
        let own = |name| {
            format!(
                "topic `{name}` is one that this application reads or keeps for itself; name another, or declare a \
                 circle with `StreamsBuilder::feedback`"
            )
        };
        let expected = [
            "topic `missing` doesn't exist; create it".to_owned(),
            "the topic name `a b` contains ' '; no log has such a topic".to_owned(),
            own("test-sums-changelog"),
            own("in"),
        ];
        assert_eq!(letters(&driver), expected);
        assert_eq!(driver.output(&numbers("n7")).read_key_values(), [pair("k", 7)]);
        assert!(driver.topics().iter().all(|topic| &**topic != "missing"));
    }

    #[test]
    fn a_flow_that_is_to_fail_names_the_topic() {
        let flow = topology(ErrorPolicy::Fail, &["missing"]);
        let missing_topics = ["missing".into()].into();
        let driver =
            TopologyTestDriver::with(&flow, DriverOptions { missing_topics, ..Default::default() });
        let input = driver.input(&numbers("in"));
        let error = input.try_pipe(Some("k"), Some(&-1), 0, &crate::Headers::new()).unwrap_err();
        assert!(error.to_string().contains("topic `missing` doesn't exist; create it"), "{error}");
    }

    #[test]
    fn a_declared_circle_may_name_its_own_input() {
        let mut builder = StreamsBuilder::new("test");
        builder.feedback(&numbers("in"));
        builder
            .stream(&numbers("in"))
            .map_values(|n| n - 1)
            .to_named(Produced::with(Utf8, I64Be), |record| {
                Some(if *record.value? > 0 { "in" } else { "done" }.into())
            });
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe("k", &3);
        assert_eq!(driver.output(&numbers("in")).read_values(), [3, 2, 1]);
        assert_eq!(driver.output(&numbers("done")).read_values(), [0]);
    }

    #[test]
    fn timers_name_topics_too() {
        use crate::Input;
        let builder = StreamsBuilder::new("test");
        let late = builder.stream(&numbers("in")).state_machine::<i64, i64>(
            "m",
            I64Be,
            |_, n, input, ctx| match input {
                Input::Message(n) => {
                    ctx.set(*n);
                    ctx.deadline(Some(10));
                }
                Input::Timer(_) => {
                    ctx.emit(n.copied().unwrap_or_default());
                    ctx.delete();
                }
            },
        );
        late.to_named(Produced::with(Utf8, I64Be), |record| {
            Some(format!("n{}", record.value?).into())
        });
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe("k", &5);
        driver.advance_wall_clock(10);
        assert_eq!(driver.output(&numbers("n5")).read_values(), [5]);
    }

    #[test]
    fn pictures_say_that_records_name_it() {
        let text = topology(ErrorPolicy::Fail, &[]).to_string();
        assert!(text.contains("Sink: sink-named-1 (topic: named by the records)"), "{text}");
    }
}
