//! `repartition`: over a topic to the task that owns the record's key.
//!
//! Operators that need the key call `keyed`, which repartitions only when the
//! key may have changed since the record was last partitioned.

use std::sync::Arc;

use super::sink::sink;
use crate::builder::source;
use crate::graph::Repartition;
use crate::repartitioned::Repartitioned;
use crate::stream::{KStream, Serdes};
use crate::topic::Topic;
use crate::topology::TopologyError;

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Sends the records through the topic `<application.id>-<name>-repartition`, in any case.
    /// Records without key are dropped and counted; those without value pass. `repartitioned` is the name, or a
    /// [`Repartitioned`] with a number of partitions.
    pub fn repartition(&self, repartitioned: impl Into<Repartitioned>) -> Self {
        self.through(&repartitioned.into(), true)
    }

    /// The stream partitioned by its key: itself, or repartitioned under `name` without the
    /// records that have no key.
    pub(crate) fn keyed(&self, name: &str) -> Self {
        self.through_if_rekeyed(name, true)
    }

    /// As [`Self::keyed`]; records without key are kept unless `needs_key`.
    pub(crate) fn through_if_rekeyed(&self, name: &str, needs_key: bool) -> Self {
        let stream =
            if self.rekeyed { self.through(&name.into(), needs_key) } else { self.clone() };
        stream.note();
        stream
    }

    /// As [`Self::repartition`]; records without key are kept unless `needs_key`.
    pub(crate) fn through(&self, repartitioned: &Repartitioned, needs_key: bool) -> Self {
        let name = &*repartitioned.name;
        let operator = name.to_owned();
        let Some(key) = self.serdes.key.clone() else {
            self.problem(TopologyError::NoSerde { operator, part: "key" });
            return self.clone();
        };
        let Some(value) = self.serdes.value.clone() else {
            self.problem(TopologyError::NoSerde { operator, part: "value" });
            return self.clone();
        };
        let topic = Topic::new(self.flow.borrow().repartition_topic(name), key, value);
        if name.is_empty() {
            self.flow.borrow_mut().unnamed("repartition", &[self.node]);
        }
        if self.flow.borrow().repartitions.iter().any(|other| other.topic == *topic.name()) {
            let (first, second) = ("a repartition topic".to_owned(), "another one".to_owned());
            self.flow.borrow_mut().duplicate(name, first, second);
        }
        let writer = sink(self, &topic, needs_key);
        let (topic_name, partitions) = (Arc::clone(topic.name()), repartitioned.partitions);
        let repartition = Repartition { topic: topic_name, writer, partitions };
        self.flow.borrow_mut().repartitions.push(repartition);
        Self::new(&self.flow, source(&self.flow, &topic), Serdes::of(&topic), false)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::codec::{I64Be, Utf8};
    use crate::testing::numbers;
    use crate::{
        DriverOptions, Materialized, Repartitioned, StreamsBuilder, TopologyError,
        TopologyTestDriver,
    };

    #[test]
    fn only_a_changed_key_before_a_stateful_operator_needs_a_topic() {
        let store = |name: &str| Materialized::<str, i64>::as_(name, Utf8, I64Be);
        let builder = StreamsBuilder::new("app");
        let stream = builder.stream(&numbers("in"));
        stream.map_values(|n| n + 1).filter(|_, _| true).group_by_key().count(&store("same"));
        stream.select_key::<str>(|_, n| n.to_string()).to(&numbers("out"));
        stream.group_by::<str>(|_, n| n.to_string()).count(&store("other"));
        let topology = builder.build().unwrap();
        let names: Vec<String> =
            topology.internal_topics().iter().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, ["app-other-repartition", "app-same-changelog", "app-other-changelog"]);
        assert_eq!(topology.subtopologies().len(), 2);
    }

    #[test]
    fn one_key_meets_in_one_task_whatever_partition_it_came_from() {
        let store = Materialized::<str, i64>::as_("sum", Utf8, I64Be);
        let builder = StreamsBuilder::new("app");
        let grouped = builder.stream(&numbers("in")).group_by::<str>(|_, n| (n % 2).to_string());
        grouped.reduce(&store, |a, b| a + b);
        let topology = builder.build().unwrap();
        let options = DriverOptions {
            partitions: 4,
            topic_partitions: BTreeMap::new(),
            ..Default::default()
        };
        let driver = TopologyTestDriver::with(&topology, options);
        for n in 0..20 {
            driver.input(&numbers("in")).pipe(&format!("key {n}"), &n);
        }
        assert_eq!(driver.table_row(&store, "0"), Some((0..20).step_by(2).sum()));
        assert_eq!(driver.table_row(&store, "1"), Some((1..20).step_by(2).sum()));
        assert_eq!(driver.rows("sum").len(), 2);
    }

    #[test]
    fn a_fixed_number_of_partitions_holds_for_what_is_read_beside() {
        let sums = |name: &str| Materialized::<str, i64>::as_(name, Utf8, I64Be);
        let builder = StreamsBuilder::new("app");
        let stream = builder.stream(&numbers("in"));
        let fixed = Repartitioned::as_("fixed").with_number_of_partitions(5);
        let wide = stream.repartition(fixed).to_table(&sums("wide"));
        let other = stream.select_key::<str>(|_, n| format!("key {n}")).with_key_serde(Utf8);
        other.repartition("beside").join("joined", &wide, |n, row| n + row).to(&numbers("out"));
        let topology = builder.build().unwrap();
        let fixed = topology.internal_topics().into_iter().filter(|t| t.partitions == Some(5));
        let names: Vec<_> = fixed.map(|topic| topic.name.to_string()).collect();
        assert_eq!(
            names,
            ["app-fixed-repartition", "app-beside-repartition", "app-wide-changelog"]
        );
        let options = DriverOptions { partitions: 2, ..Default::default() };
        let driver = TopologyTestDriver::with(&topology, options);
        for n in 0..20 {
            driver.input(&numbers("in")).pipe(&format!("key {n}"), &n);
        }
        let mut out = driver.output(&numbers("out")).read_values();
        out.sort();
        assert_eq!(out, (0..20).map(|n| 2 * n).collect::<Vec<_>>());
        let found = |topic: &str| Some(if topic == "app-fixed-repartition" { 4 } else { 2 });
        let error = topology.check_partitions(&found).unwrap_err();
        let (topic, fixed, found) = ("app-fixed-repartition".to_owned(), 5, 4);
        assert_eq!(error, TopologyError::PartitionsFixed { topic, fixed, found });
    }

    #[test]
    fn a_topic_of_others_beside_a_fixed_one_must_fit() {
        let builder = StreamsBuilder::new("app");
        let table = builder.table("t", &numbers("table"));
        let fixed = Repartitioned::as_("fixed").with_number_of_partitions(5);
        let stream = builder.stream(&numbers("in")).repartition(fixed);
        stream.join("joined", &table, |n, row| n + row).to(&numbers("out"));
        let topology = builder.build().unwrap();
        let counts = |topic: &str| (!topic.starts_with("app-")).then_some(2);
        let text = topology.check_partitions(&counts).unwrap_err().to_string();
        for part in ["`table` (2 partitions)", "`app-fixed-repartition` (5 partitions)"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_lost_codec_is_named_at_build() {
        let builder = StreamsBuilder::new("app");
        let text = builder.stream(&numbers("in")).map_values(|n| n.to_string());
        text.group_by::<str>(|_, n| n.clone()).count(&Materialized::as_("c", Utf8, I64Be));
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "c".into(), part: "value" });
        assert!(error.to_string().contains("with_value_serde"));
    }
}
