//! The topology as a value: how it reads, and what is refused at build.

use operators::{
    I64Be, InternalTopicKind, KStream, Materialized, StreamsBuilder, TimeWindows, Topic,
    TopologyError, Utf8,
};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

fn example() -> StreamsBuilder {
    let builder = StreamsBuilder::new("app");
    let prices = builder.global_table("prices", &numbers("prices"));
    let names = builder.table("names", &numbers("names"));
    let orders = builder.stream(&numbers("orders")).merge(&builder.stream(&numbers("imports")));
    let named = orders.join("named", &names, |a, b| a + b);
    let priced = named.join_global("priced", &prices, |k, _| k.map(str::to_owned), |a, b| a + b);
    let windows = TimeWindows::of_size(60_000).grace(5_000);
    priced.group_by::<str>(|_, n| n.to_string()).windowed_by(windows).count(&store("per-minute"));
    priced.to(&numbers("priced"));
    builder
}

#[test]
fn two_global_tables_of_one_topic_are_refused() {
    let builder = StreamsBuilder::new("app");
    builder.stream(&numbers("in"));
    builder.global_table("first", &numbers("shared"));
    builder.global_table("second", &numbers("shared"));
    let error = builder.build().unwrap_err();
    let (topic, first, second) = ("shared".into(), "first".into(), "second".into());
    assert_eq!(error, TopologyError::GlobalTwice { topic, first, second });
}

#[test]
fn it_reads_like_kafka_streams_describe() {
    let Err(error) = example().build() else { panic!("the value codec was lost by the joins") };
    assert_eq!(error, TopologyError::NoSerde { operator: "per-minute".into(), part: "value" });

    let builder = StreamsBuilder::new("app");
    let grouped = builder
        .stream(&numbers("orders"))
        .filter(|_, n| *n > 0)
        .group_by::<str>(|_, n| n.to_string());
    let counts = grouped.count(&store("counts"));
    counts.to_stream().to(&numbers("out"));
    let topology = builder.build().unwrap();
    assert_eq!(
        topology.to_string(),
        "\
Topologies:
   Sub-topology: 0
    Source: source-orders (topics: [orders])
      --> filter-1
    Processor: filter-1 (stores: [])
      --> select-key-2
      <-- source-orders
    Processor: select-key-2 (stores: [])
      --> sink-app-counts-repartition-3
      <-- filter-1
    Sink: sink-app-counts-repartition-3 (topic: app-counts-repartition)
      <-- select-key-2
   Sub-topology: 1
    Source: source-app-counts-repartition (topics: [app-counts-repartition])
      --> counts
    Processor: counts (stores: [counts])
      --> sink-out-6
      <-- source-app-counts-repartition
    Sink: sink-out-6 (topic: out)
      <-- counts
    Store: counts (key-value, changelog: app-counts-changelog)
"
    );
}

#[test]
fn internal_topics_follow_the_users_topics() {
    let builder = StreamsBuilder::new("app");
    let grouped = builder.stream(&numbers("orders")).group_by::<str>(|_, n| n.to_string());
    grouped.windowed_by(TimeWindows::of_size(1000).grace(500)).count(&store("w"));
    let topology = builder.build().unwrap();
    let topics = topology.internal_topics();
    let seen: Vec<_> =
        topics.iter().map(|topic| (&*topic.name, topic.kind, &*topic.partitions_like)).collect();
    let day = 86_400_000;
    let changelog = |retention_ms| InternalTopicKind::Changelog { compact: true, retention_ms };
    assert_eq!(
        seen,
        [
            ("app-w-repartition", InternalTopicKind::Repartition, "orders"),
            ("app-w-changelog", changelog(Some(1500 + day)), "orders"),
            ("app-w-time-changelog", changelog(None), "orders"),
        ]
    );
}

#[test]
fn a_repartition_topic_has_the_count_of_the_table_it_is_joined_with() {
    let builder = StreamsBuilder::new("app");
    let table = builder.table("t", &numbers("table"));
    let rekeyed = builder.stream(&numbers("stream")).select_key::<str>(|_, n| n.to_string());
    rekeyed.join("j", &table, |a, b| a + b).to(&numbers("out"));
    let topology = builder.build().unwrap();
    let like: Vec<_> =
        topology.internal_topics().into_iter().map(|topic| topic.partitions_like).collect();
    assert_eq!(like, ["table".into(), "table".into()]);
    let counts = |topic: &str| match topic {
        "table" => Some(3),
        "stream" => Some(6),
        _ => None,
    };
    let counts = topology.check_partitions(&counts).unwrap();
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 6]);
}

#[test]
fn topics_read_together_must_have_one_partition_count() {
    let builder = StreamsBuilder::new("app");
    let table = builder.table("t", &numbers("table"));
    let stream = builder.stream(&numbers("stream"));
    stream
        .join("j", &table, |a, b| a + b)
        .with_value_serde(I64Be)
        .group_by::<str>(|_, n| n.to_string())
        .count(&store("c"));
    let topology = builder.build().unwrap();
    let fine =
        topology.check_partitions(&|topic| (!topic.starts_with("app-")).then_some(6)).unwrap();
    assert_eq!(fine.into_iter().collect::<Vec<_>>(), [(0, 6), (1, 6)]);
    let error =
        topology.check_partitions(&|topic| Some(if topic == "table" { 3 } else { 6 })).unwrap_err();
    let text = error.to_string();
    for part in ["`table` (3 partitions)", "`stream` (6 partitions)", "repartition"] {
        assert!(text.contains(part), "{text}");
    }
    let error = topology.check_partitions(&|topic| (topic != "stream").then_some(3)).unwrap_err();
    assert_eq!(error, TopologyError::MissingTopic { topic: "stream".into() });
}

#[test]
fn names_are_mandatory_and_unique() {
    let refused = |flow: fn(&KStream<str, i64>)| {
        let builder = StreamsBuilder::new("app");
        flow(&builder.stream(&numbers("in")));
        builder.build().unwrap_err()
    };
    let error = refused(|stream| {
        stream.group_by_key().count(&store(""));
    });
    assert!(matches!(error, TopologyError::Unnamed { .. }), "{error}");
    let error = refused(|stream| {
        stream.group_by_key().count(&store("same"));
        stream.filter(|_, _| true).group_by_key().count(&store("same"));
    });
    assert!(
        matches!(&error, TopologyError::DuplicateName { name, .. } if name == "same"),
        "{error}"
    );
    let error = refused(|stream| {
        stream.select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8).repartition("");
    });
    assert!(matches!(error, TopologyError::Unnamed { .. }), "{error}");
}

#[test]
fn a_flow_that_feeds_itself_must_say_so() {
    let circle = |declared: bool| {
        let mut builder = StreamsBuilder::new("app");
        if declared {
            builder.feedback(&numbers("retry"));
        }
        let all = builder.stream(&numbers("in")).merge(&builder.stream(&numbers("retry")));
        all.filter(|_, n| *n > 0).map_values(|n| n - 1).to(&numbers("retry"));
        builder.build()
    };
    let error = circle(false).unwrap_err();
    assert!(
        matches!(&error, TopologyError::Cycle { topics, .. } if topics == &["retry"]),
        "{error}"
    );
    let driver = operators::TopologyTestDriver::new(&circle(true).unwrap());
    driver.input(&numbers("in")).pipe("k", &3);
    assert_eq!(driver.output(&numbers("retry")).read_values(), [2, 1, 0]);
}

#[test]
fn two_parts_may_read_what_comes_out_of_each_other() {
    let builder = StreamsBuilder::new("app");
    let stream = builder.stream(&numbers("in"));
    let sums =
        stream.group_by::<str>(|_, n| (n % 3).to_string()).reduce(&store("sums"), |a, b| a + b);
    // Back to the partitions of `in`: part 0 writes to part 1, and part 1 to part 0.
    let back = sums.to_stream().select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8);
    let table = builder.table("t", &numbers("table"));
    back.join("j", &table, |a, b| a + b).to(&numbers("out"));
    stream.join("k", &table, |a, b| a + b).to(&numbers("joined"));
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().len(), 2);
    let driver = operators::TopologyTestDriver::new(&topology);
    driver.input(&numbers("table")).pipe("7", &100);
    driver.input(&numbers("in")).pipe("k", &7);
    assert_eq!(driver.output(&numbers("out")).read_values(), [107]);
}

#[test]
fn one_topic_is_one_source_of_one_type() {
    let builder = StreamsBuilder::new("app");
    builder.stream(&numbers("in")).to(&numbers("a"));
    builder.stream(&numbers("in")).to(&numbers("b"));
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().len(), 1);
    assert_eq!(topology.subtopologies()[0].sources.len(), 1);

    let builder = StreamsBuilder::new("app");
    builder.stream(&numbers("in")).to(&numbers("a"));
    builder.stream(&Topic::<str, str>::new("in", Utf8, Utf8)).to(&Topic::new("b", Utf8, Utf8));
    assert_eq!(builder.build().unwrap_err(), TopologyError::SourceTypes { topic: "in".into() });
    assert_eq!(StreamsBuilder::new("app").build().unwrap_err(), TopologyError::Empty);
}
