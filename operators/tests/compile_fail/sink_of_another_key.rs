//! A stream keyed by text doesn't go to a topic keyed by numbers.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let orders = builder.stream(&Topic::<str, i64>::new("orders", Utf8, I64Be));
    orders.to(&Topic::<i64, i64>::new("totals", I64Be, I64Be));
}
