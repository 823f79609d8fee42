//! The flows that are measured, each with its input.
//!
//! Input is that of `ks-bench`, the yardstick of Kafka Streams, where it has the flow: uniform keys, texts of 100
//! bytes, one record per millisecond.

use operators::{
    I64Be, JoinWindows, KStream, Materialized, SessionWindows, SlidingWindows, StreamsBuilder,
    TimeWindows, Topic, Topology, TopologyError, Utf8,
};

use crate::worker::{Fill, Line};

/// Keys where each has one row.
const KEYS: i64 = 100_000;
/// Keys where each has rows in time: each comes every 10 seconds.
const BUSY_KEYS: i64 = 10_000;
/// Right rows of the foreign-key join.
const RIGHTS: i64 = 1_000;

/// A flow, the topics its lines belong to, and how many lines make its state complete.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) topology: fn() -> Result<Topology, TopologyError>,
    pub(crate) inputs: &'static [&'static str],
    pub(crate) fill: Fill,
    pub(crate) warm_up: i64,
}

const fn flow(
    name: &'static str,
    topology: fn() -> Result<Topology, TopologyError>,
    (inputs, fill, warm_up): (&'static [&'static str], Fill, i64),
) -> Flow {
    Flow { name, topology, inputs, fill, warm_up }
}

/// All flows.
pub(crate) const FLOWS: &[Flow] = &[
    flow("pass-through", pass_through, (&["in"], one_row, 10_000)),
    flow("stateless chain", stateless, (&["numbers"], numbers, 10_000)),
    flow("count", count, (&["in"], one_row, 3 * KEYS)),
    flow("stream-table join", table_join, (&["table", "in"], table_then_stream, 2 * KEYS)),
    flow("stream-stream join", stream_join, (&["in", "other"], two_streams, 50_000)),
    flow("tumbling window", tumbling, (&["in"], one_row, 3 * KEYS)),
    flow("sliding window", sliding, (&["in"], many_rows, 50_000)),
    flow("session window", sessions, (&["in"], many_rows, 50_000)),
    flow("foreign-key join", foreign_key_join, (&["in", "rights"], references, 3 * KEYS)),
];

fn texts(name: &str) -> Topic<str, str> {
    Topic::new(name, Utf8, Utf8)
}

fn counts() -> Materialized<str, i64> {
    Materialized::as_("rows", Utf8, I64Be)
}

fn joined(left: &str, right: &str) -> String {
    [left, right].concat()
}

/// A flow from the topic `in` to the topic `out`.
fn through<V: ?Sized + 'static>(
    flow: impl FnOnce(KStream<str, str>) -> KStream<str, V>,
    out: &Topic<str, V>,
) -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    flow(builder.stream(&texts("in"))).to(out);
    builder.build()
}

fn pass_through() -> Result<Topology, TopologyError> {
    through(|stream| stream.map_values(str::to_owned), &Topic::new("out", Utf8, Utf8))
}

/// Eight operators, borrowed codecs.
fn stateless() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let input = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    let even = input.filter(|key, n| !key.is_empty() && n % 2 == 0).map_values(|n| n + 1);
    let odd = input.filter_not(|_, n| n % 2 == 0).map_values(|n| n - 1);
    let split = even.merge(&odd).peek(|record| assert!(record.key.is_some())).split();
    split.branch("third", |_, n| n % 3 == 0).to(&Topic::new("third", Utf8, I64Be));
    split.default_branch("rest").to(&Topic::new("rest", Utf8, I64Be));
    builder.build()
}

fn count() -> Result<Topology, TopologyError> {
    let count = |stream: KStream<str, str>| stream.group_by_key().count(&counts()).to_stream();
    through(count, &Topic::new("out", Utf8, I64Be))
}

fn table_join() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let table = builder.table("rows", &texts("table"));
    let stream = builder.stream(&texts("in"));
    stream.join("join", &table, joined).to(&Topic::new("out", Utf8, Utf8));
    builder.build()
}

/// About one match per record.
fn stream_join() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let other = builder.stream(&texts("other"));
    let windows = JoinWindows::of_time_difference(20_000).grace(1_000);
    let stream = builder.stream(&texts("in")).join_stream("join", &other, windows, joined);
    stream.to(&Topic::new("out", Utf8, Utf8));
    builder.build()
}

fn tumbling() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let grouped = builder.stream(&texts("in")).group_by_key();
    let counted = grouped.windowed_by(TimeWindows::of_size(300_000)).count(&counts());
    windowed_out(&counted.to_stream(), counted.key_serde());
    builder.build()
}

/// Two to three windows per record.
fn sliding() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let windows = SlidingWindows::of_time_difference(15_000).grace(1_000);
    let counted = builder.stream(&texts("in")).group_by_key().windowed_by(windows).count(&counts());
    windowed_out(&counted.to_stream(), counted.key_serde());
    builder.build()
}

/// Sessions of several records.
fn sessions() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let windows = SessionWindows::of_gap(15_000).grace(1_000);
    let grouped = builder.stream(&texts("in")).group_by_key().windowed_by_sessions(windows);
    let counted = grouped.count(&counts());
    windowed_out(&counted.to_stream(), counted.key_serde());
    builder.build()
}

fn windowed_out<K: 'static>(stream: &KStream<K, i64>, key: Option<operators::Serde<K>>) {
    stream.to(&Topic::new("out", key.expect("windowed keys have a codec"), I64Be));
}

fn foreign_key_join() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("bench");
    let (left, right) =
        (builder.table("lefts", &texts("in")), builder.table("rights", &texts("rights")));
    let store = Materialized::<str, String>::as_("rows", Utf8, Utf8);
    let reference = |_: &str, left: &str| left.get(..8).map(str::to_owned);
    let joined = left.join_foreign_key(&store, &right, reference, joined);
    joined.to_stream().to(&Topic::new("out", Utf8, Utf8));
    builder.build()
}

/// A number in no order.
fn mixed(n: i64) -> u64 {
    let mut z = n.cast_unsigned().wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 27)
}

/// Writes `k0000000`.
fn key(number: u64, out: &mut [u8]) {
    let mut rest = number;
    for digit in out[1..8].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out[0] = b'k';
}

/// A text of 100 bytes at the time of its number, with a key that is one of so many.
fn text(n: i64, keys: i64, line: &mut Line) {
    line.key.resize(8, 0);
    key(mixed(n) % keys.cast_unsigned(), &mut line.key);
    line.value.resize(100, b'v');
    key(n.cast_unsigned(), &mut line.value);
    (line.input, line.timestamp) = (0, n);
}

fn one_row(n: i64, line: &mut Line) {
    text(n, KEYS, line);
}

fn many_rows(n: i64, line: &mut Line) {
    text(n, BUSY_KEYS, line);
}

fn numbers(n: i64, line: &mut Line) {
    text(n, KEYS, line);
    line.value.clear();
    line.value.extend_from_slice(&n.to_be_bytes());
}

/// First a row for each key of the table.
fn table_then_stream(n: i64, line: &mut Line) {
    text(n, KEYS, line);
    if n < KEYS {
        key(n.cast_unsigned(), &mut line.key);
    } else {
        line.input = 1;
    }
}

fn two_streams(n: i64, line: &mut Line) {
    text(n, BUSY_KEYS, line);
    line.input = (mixed(n) >> 63) as usize;
}

/// Left rows that refer to right rows; one line of 1,000 is a right row, to which about 100 left ones refer.
fn references(n: i64, line: &mut Line) {
    text(n, KEYS, line);
    if n < RIGHTS || n % RIGHTS == 0 {
        let right = if n < RIGHTS { n } else { n / RIGHTS % RIGHTS };
        key(right.cast_unsigned(), &mut line.key);
        line.input = 1;
    } else {
        key(mixed(n) / 7 % RIGHTS.cast_unsigned(), &mut line.value);
    }
}
