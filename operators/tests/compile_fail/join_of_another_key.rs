//! A stream keyed by text doesn't join a table keyed by numbers.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let orders = builder.stream(&Topic::<str, str>::new("orders", Utf8, Utf8));
    let prices = builder.table("prices", &Topic::<i64, i64>::new("prices", I64Be, I64Be));
    orders.join("priced", &prices, |order, price| format!("{order} {price}"));
}
