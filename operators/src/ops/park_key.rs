//! `park_key`: a record that fails waits with all later ones of its key, and other keys go on.

use std::any::TypeId;
use std::sync::Arc;

use state_stores::StoreKind;

use crate::gate::GateDecl;
use crate::graph::{NodeKind, StoreDecl};
use crate::stream::KStream;
use crate::topology::TopologyError;

/// Where the records of parked keys are kept: a store of this name. Where the default does, a string is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parking {
    name: Arc<str>,
    max_records: u64,
}

impl Parking {
    /// Keeps up to 10,000 records per task.
    pub fn as_(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), max_records: 10_000 }
    }

    /// How many records of all parked keys a task keeps. With as many, the node's [`ErrorPolicy`](crate::ErrorPolicy) is
    /// followed for what would come on top. A release takes all of a key in one transaction, so this bounds that, too.
    pub fn max_records(self, max_records: u64) -> Self {
        Self { max_records, ..self }
    }
}

impl From<&str> for Parking {
    fn from(name: &str) -> Self {
        Self::as_(name)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Parks keys that the operator before this call fails on: the failing record, whose effects in that operator and
    /// below are undone, and all later ones of its key wait in a store, in order, while other keys go on. What the record
    /// did further up stays. Records without key follow the node's [`ErrorPolicy`](crate::ErrorPolicy), and so do all
    /// while the store is full.
    ///
    /// A key is let go by a record on the topic `<application.id>-<name>-control`, which is made with the other internal
    /// topics: its key is the parked key's bytes, its value `release` (the records go on in order; the first that fails
    /// again stays, with those behind it) or `discard` (they are dropped and counted). The input must be partitioned by
    /// that key, and its codecs known.
    pub fn park_key(self, parking: impl Into<Parking>) -> Self {
        if let Err(problem) = declare(&self, parking.into()) {
            self.problem(problem);
        }
        self
    }
}

fn declare<K: ?Sized + 'static, V: ?Sized + 'static>(
    stream: &KStream<K, V>,
    Parking { name, max_records }: Parking,
) -> Result<(), TopologyError> {
    let mut graph = stream.flow.borrow_mut();
    let node = &graph.nodes[stream.node.0];
    let cannot = |why| TopologyError::CantPark { operator: node.name.to_string(), why };
    let [parent] = node.parents[..] else {
        return Err(cannot("it has not exactly one input"));
    };
    if node.kind == NodeKind::Operator("map-async") {
        return Err(cannot("its calls wait in order by themselves, see AsyncCall::retry"));
    }
    let (input, rekeyed) =
        graph.outputs.get(&parent).ok_or_else(|| cannot("its input is a table"))?;
    if *rekeyed {
        return Err(TopologyError::NeedsRepartition { operator: node.name.to_string() });
    }
    let input = Arc::clone(input);
    let missing = |part| TopologyError::NoSerde { operator: node.name.to_string(), part };
    let formats = input.formats().map_err(missing)?;
    if name.is_empty() {
        graph.unnamed("park_key", &[stream.node]);
        return Ok(());
    }
    let topic: Arc<str> = Arc::from(format!("{}-{name}-control", graph.application_id));
    let source = NodeKind::Source(Arc::clone(&topic));
    // The gate installs what reads it.
    let control = graph.add(Some(&name), source, &[], Box::new(|_, _| {}));
    graph.nodes[control.0].formats = Some((formats.0.clone(), "utf8".to_owned()));
    let types = (TypeId::of::<[u8]>(), TypeId::of::<str>());
    graph.sources.push((Arc::clone(&topic), control, types));
    graph.controls.push(Arc::clone(&topic));
    let kind = StoreKind::KeyValue;
    graph.declare(stream.node, StoreDecl::internal(Arc::clone(&name), kind, formats));
    graph.nodes[control.0].stores.push(Arc::clone(&name));
    let gate = GateDecl { name, control: (topic, control), max_records, input };
    graph.nodes[stream.node.0].gate = Some(gate);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{
        AsyncCall, BoxError, DriverOptions, ErrorPolicy, Headers, InternalTopicKind, Processor,
        ProcessorContext, Record, StreamsBuilder, Topic, TopologyTestDriver,
    };

    /// Numbers that fail at present.
    type Broken = Arc<Mutex<Vec<i64>>>;

    fn control(key: &str, command: &str, driver: &TopologyTestDriver) {
        driver.input(&Topic::<str, str>::new("test-guard-control", Utf8, Utf8)).pipe(key, command);
    }

    /// Sums numbers per key, then fails for those that are broken; `all` has what was summed.
    fn driver(
        parking: Parking,
        policy: ErrorPolicy,
        partitions: u32,
    ) -> (TopologyTestDriver, Broken) {
        let broken = Broken::default();
        let builder = StreamsBuilder::new("test");
        let seen = builder.stream(&numbers("in")).map_values(|n| *n).with_value_serde(I64Be);
        seen.to(&numbers("seen"));
        let fails = Arc::clone(&broken);
        let checked = seen.try_map_values(move |n: &i64| match fails.lock().unwrap().contains(n) {
            true => Err(format!("{n} is broken")),
            false => Ok(*n),
        });
        checked.on_error(policy).park_key(parking).to(&numbers("out"));
        let options = DriverOptions { partitions, ..Default::default() };
        (TopologyTestDriver::with(&builder.build().unwrap(), options), broken)
    }

    fn pipe(driver: &TopologyTestDriver, records: &[(&str, i64)]) {
        for (key, n) in records {
            driver.input(&numbers("in")).pipe(key, n);
        }
    }

    #[test]
    fn a_parked_key_keeps_its_order_and_others_go_on() {
        let (driver, broken) = driver("guard".into(), ErrorPolicy::Fail, 3);
        broken.lock().unwrap().push(2);
        pipe(&driver, &[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("a", 5)]);
        assert_eq!(driver.output(&numbers("out")).read_key_values(), [pair("a", 1), pair("b", 4)]);
        assert_eq!(driver.output(&numbers("seen")).read_values(), [1, 2, 3, 4, 5]);
        control("a", "release", &driver);
        assert_eq!(driver.output(&numbers("out")).read_values().len(), 2, "it fails again");
        driver.restart();
        broken.lock().unwrap().clear();
        control("a", "release", &driver);
        control("a", "release", &driver);
        pipe(&driver, &[("a", 6)]);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 4, 2, 3, 5, 6]);
        assert_eq!(driver.output(&numbers("seen")).read_values().len(), 6, "once above the gate");
    }

    #[test]
    fn a_release_stops_at_the_next_record_that_fails() {
        let (driver, broken) = driver("guard".into(), ErrorPolicy::Fail, 1);
        broken.lock().unwrap().extend([1, 3]);
        pipe(&driver, &[("a", 1), ("a", 2), ("a", 3), ("a", 4)]);
        broken.lock().unwrap().remove(0);
        control("a", "release", &driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 2]);
        let rows = driver.rows("guard");
        let info = String::from_utf8_lossy(&rows[1].1).into_owned();
        assert!(rows.len() == 4 && info.ends_with("3 is broken"), "{info}");
        control("a", "discard", &driver);
        pipe(&driver, &[("a", 5)]);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 2, 5]);
        assert_eq!((driver.dropped().skipped, driver.rows("guard").len()), (2, 1));
    }

    #[test]
    fn a_full_store_follows_the_policy_of_the_node() {
        for (policy, out) in
            [(ErrorPolicy::Skip, vec![9, 1]), (ErrorPolicy::DeadLetter, vec![9, 1])]
        {
            let (driver, broken) = driver(Parking::as_("guard").max_records(1), policy, 1);
            broken.lock().unwrap().extend([1, 3]);
            pipe(&driver, &[("a", 1), ("a", 2), ("b", 3), ("c", 9)]);
            assert_eq!(driver.dropped().skipped + driver.dropped().dead_letters, 2);
            broken.lock().unwrap().clear();
            control("a", "release", &driver);
            assert_eq!(driver.output(&numbers("out")).read_values(), out);
        }
        let (driver, broken) = driver(Parking::as_("guard").max_records(0), ErrorPolicy::Fail, 1);
        broken.lock().unwrap().push(1);
        let (in_, none) = (numbers("in"), Headers::new());
        let error = driver.input(&in_).try_pipe(Some("a"), Some(&1), 0, &none).unwrap_err();
        assert!(error.to_string().contains("1 is broken; `guard` keeps 0 records"), "{error}");
    }

    #[test]
    fn what_is_no_command_is_a_dead_letter_and_no_key_is_touched() {
        let (driver, broken) = driver("guard".into(), ErrorPolicy::Fail, 1);
        broken.lock().unwrap().push(1);
        pipe(&driver, &[("a", 1)]);
        control("a", "let go", &driver);
        control("nobody", "release", &driver);
        control("nobody", "discard", &driver);
        assert_eq!((driver.dropped().dead_letters, driver.rows("guard").len()), (1, 3));
    }

    #[test]
    fn several_records_of_one_that_fail_are_each_parked() {
        let builder = StreamsBuilder::new("test");
        let broken = Broken::default();
        broken.lock().unwrap().extend([2, 4]);
        let fails = Arc::clone(&broken);
        let parts = builder.stream(&numbers("in")).flat_map_values::<i64>(|n, emit| {
            (1..=*n).for_each(|part| emit(&part));
        });
        let checked = parts.with_value_serde(I64Be).try_map_values(move |n: &i64| {
            match fails.lock().unwrap().contains(n) {
                true => Err("broken".to_owned()),
                false => Ok(*n),
            }
        });
        checked.park_key("guard").to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        pipe(&driver, &[("a", 5)]);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1]);
        broken.lock().unwrap().retain(|n| *n == 4);
        control("a", "release", &driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 2, 3]);
        broken.lock().unwrap().clear();
        control("a", "release", &driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 2, 3, 4, 5]);
    }

    /// Hands on the stream time.
    struct Times;

    impl Processor<str, i64, str, i64> for Times {
        fn process(
            &mut self,
            record: Record<'_, str, i64>,
            ctx: &mut ProcessorContext<'_, str, i64>,
        ) -> Result<(), BoxError> {
            let time = ctx.stream_time();
            ctx.forward(record.with_value(time.as_ref()));
            Ok(())
        }
    }

    #[test]
    fn a_commands_time_is_not_the_streams() {
        let builder = StreamsBuilder::new("test");
        let times = builder.stream(&numbers("in")).process("times", &[], |_| Box::new(Times));
        times.park_key("guard").to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.advance_wall_clock(1_000_000);
        control("a", "release", &driver);
        driver.input(&numbers("in")).pipe_at("a", &1, 7);
        assert_eq!(driver.output(&numbers("out")).read_values(), [7]);
    }

    #[test]
    fn the_control_topic_is_internal_and_partitioned_like_the_input() {
        let builder = StreamsBuilder::new("test");
        builder.stream(&numbers("in")).map_values(|n| *n).park_key("guard").to(&numbers("out"));
        let topics = builder.build().unwrap().internal_topics();
        let control = topics.iter().find(|topic| &*topic.name == "test-guard-control").unwrap();
        assert_eq!((&control.kind, &*control.partitions_like), (&InternalTopicKind::Control, "in"));
    }

    #[test]
    fn what_cannot_be_parked_is_refused_with_the_remedy() {
        type Numbers = KStream<str, i64>;
        let refused = |flow: &dyn Fn(Numbers) -> Numbers| {
            let builder = StreamsBuilder::new("test");
            flow(builder.stream(&numbers("in")));
            builder.build().unwrap_err().to_string()
        };
        let call = AsyncCall::<i64, i64>::new("c", I64Be, I64Be);
        let calls =
            |stream: Numbers| stream.map_async(&call, |_, n| *n, |_, _, n| *n).park_key("g");
        assert!(refused(&calls).contains("AsyncCall::retry"));
        assert!(
            refused(&|stream: Numbers| stream.merge(&stream).park_key("g")).contains("one input")
        );
        assert!(refused(&|stream: Numbers| stream.park_key("g")).contains("one input"));
        let rekeyed = |stream: Numbers| {
            stream.select_key::<str>(|_, n| n.to_string()).map_values(|n| *n).park_key("g")
        };
        assert!(refused(&rekeyed).contains("repartition"));
        let lost =
            |stream: Numbers| stream.map_values(|n| n.to_string()).map_values(|_| 1).park_key("g");
        assert!(refused(&lost).contains("with_value_serde"));
        assert!(
            refused(&|stream: Numbers| stream.map_values(|n| *n).park_key("")).contains("park_key")
        );
        let twice = |stream: Numbers| {
            stream
                .map_values(|n| *n)
                .with_value_serde(I64Be)
                .park_key("g")
                .map_values(|n| *n)
                .park_key("g")
        };
        assert!(refused(&twice).contains("the name `g` is used twice"));
    }
}
