//! The flow: operators that keep state, each with an output topic of its own.
//!
//! Invariant: all that depends on stream time hangs on one input, `events`. So what a partition's output is, record by
//! record, follows from the input alone; where it doesn't, [`OUTPUTS`] says what does.

use std::sync::Arc;

use operators::{
    AsyncCall, BufferConfig, EmitStrategy, ErrorPolicy, I64Be, JoinWindows, KStream, Materialized,
    Produced, SessionWindows, SlidingWindows, StreamsBuilder, Suppressed, TimeWindows, Topic,
    Topology, Utf8,
};

/// What the order of an output's records can be relied on for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Partition by partition, with the time of each record.
    Partition,
    /// The values of each key.
    Key,
    /// What is left of each key: records travel between partitions on the way.
    Last,
}

/// The output topics.
pub(crate) const OUTPUTS: [(&str, Order); 16] = [
    ("even", Order::Partition),
    ("odd", Order::Partition),
    ("once", Order::Partition),
    ("sessions", Order::Partition),
    ("sliding", Order::Partition),
    ("minutes", Order::Partition),
    ("pairs", Order::Partition),
    ("totals", Order::Partition),
    ("priced", Order::Partition),
    ("box-a", Order::Partition),
    ("box-b", Order::Partition),
    ("box-c", Order::Partition),
    ("kinds", Order::Key),
    ("scores", Order::Key),
    ("booked", Order::Key),
    ("owned", Order::Last),
];

/// The topics the test writes to, beside the control of what is parked.
pub(crate) const INPUTS: [&str; 5] = ["events", "prices", "orders", "users", "mail"];

/// A topic that letters name, and that isn't there.
pub(crate) const NO_BOX: &str = "box-d";

/// Whether the cause of failures is mended.
pub(crate) type Mended = Arc<dyn Fn() -> bool + Send + Sync>;

/// The call of `scores`. Its attempts suffice for a service that is away for a while.
pub(crate) fn score() -> AsyncCall<str, str> {
    AsyncCall::new("scoring", Utf8, Utf8).max_in_flight(8).timeout_ms(400).retry(10_000, 20, 100)
}

/// The number in a value such as `L17`.
pub(crate) fn number(value: &str) -> u64 {
    value.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn text(name: String) -> Topic<str, str> {
    Topic::new(name, Utf8, Utf8)
}

fn string(name: String) -> Topic<str, String> {
    Topic::new(name, Utf8, Utf8)
}

/// The flow, with the names that `name` makes of topics.
pub(crate) fn topology(name: &dyn Fn(&str) -> String, mended: &Mended) -> Topology {
    let builder = StreamsBuilder::new(name("application"));
    let events = builder.stream(&text(name("events")));
    let kind = |wanted: char| events.filter(move |_, value| value.starts_with(wanted));

    let topics = ["even", "odd"].map(|parity| text(name(parity)));
    // The choice of a topic lives as long as its record, or for ever.
    let [even, odd] = ["even", "odd"].map(|parity| &*name(parity).leak());
    events.to_one_of(&topics, move |_, value| {
        Some(if number(value).is_multiple_of(2) { even } else { odd })
    });
    events.deduplicate_by_key("once", 400).to(&text(name("once")));
    windows(&events, name);

    let near = JoinWindows::of_time_difference(150).grace(100);
    let shown = |side: Option<&str>| side.unwrap_or("-").to_owned();
    kind('L')
        .outer_join_stream("pairs", &kind('R'), near, move |left, right| {
            format!("{}+{}", shown(left), shown(right))
        })
        .to(&string(name("pairs")));
    kind('A')
        .group_by_key()
        .cogroup("asked", |_, value, sum: &i64| sum * 3 + number(value) as i64 % 1_000)
        .cogroup("booked", &kind('X').group_by_key(), |_, value, sum| sum + number(value) as i64)
        .aggregate(&Materialized::as_("totals", Utf8, I64Be), || 1)
        .to_stream()
        .map_values(|sum| sum % 1_000_000_007)
        .to(&Topic::new(name("totals"), Utf8, I64Be));

    let prices = builder.versioned_table("prices", &text(name("prices")), 600_000);
    kind('R')
        .left_join("priced", &prices, |value, price| format!("{value} at {}", price.unwrap_or("-")))
        .to(&string(name("priced")));
    events
        .group_by(|_, value| value[..1].to_owned())
        .count(&Materialized::<str, i64>::as_("kinds", Utf8, I64Be))
        .to_stream()
        .to(&Topic::new(name("kinds"), Utf8, I64Be));
    tables(&builder, name);
    let (boxes, produced) =
        (name("box"), Produced::with(Utf8, Utf8).on_error(ErrorPolicy::DeadLetter));
    builder
        .stream(&text(name("mail")))
        .to_named(produced, move |letter| Some(format!("{boxes}-{}", letter.value?).into()));

    kind('A')
        .map_async(
            &score(),
            |_, value| value.to_owned(),
            |key, asked, reply| format!("{key} {asked} {reply}"),
        )
        .to(&string(name("scores")));
    let mended = Arc::clone(mended);
    kind('X')
        .try_map_values(move |value| match number(value) % 20 == 7 && !mended() {
            true => Err(format!("{value} can't be booked")),
            false => Ok(value.to_owned()),
        })
        .park_key("stuck")
        .to(&string(name("booked")));
    builder.build().unwrap()
}

fn windows(events: &KStream<str, str>, name: &dyn Fn(&str) -> String) {
    let sessions = events
        .group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(300).grace(200))
        .emit_strategy(EmitStrategy::OnWindowClose)
        .count(&Materialized::as_("sessions", Utf8, I64Be));
    sessions.to_stream().to(&Topic::new(name("sessions"), sessions.key_serde().unwrap(), I64Be));
    let sliding = events
        .group_by_key()
        .windowed_by(SlidingWindows::of_time_difference(500).grace(200))
        .count(&Materialized::as_("sliding", Utf8, I64Be));
    sliding.to_stream().to(&Topic::new(name("sliding"), sliding.key_serde().unwrap(), I64Be));
    let minutes = events
        .group_by_key()
        .windowed_by(TimeWindows::of_size(2_000).grace(500))
        .count(&Materialized::as_("by-minute", Utf8, I64Be))
        .suppress("minutes", Suppressed::until_window_closes(BufferConfig::unbounded()));
    minutes.to_stream().to(&Topic::new(name("minutes"), minutes.key_serde().unwrap(), I64Be));
}

/// Orders such as `u3:17` with the names of their users.
fn tables(builder: &StreamsBuilder, name: &dyn Fn(&str) -> String) {
    let orders = builder.table("orders", &text(name("orders")));
    let users = builder.table("users", &text(name("users")));
    let owned = orders.join_foreign_key(
        &Materialized::<str, String>::as_("owned", Utf8, Utf8),
        &users,
        |_, order| order.split(':').next().map(str::to_owned),
        |order, user| format!("{order} of {user}"),
    );
    owned.to_stream().to(&string(name("owned")));
}
