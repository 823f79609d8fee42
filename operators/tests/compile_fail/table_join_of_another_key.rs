//! A table keyed by text doesn't join a table keyed by numbers; that takes a foreign key of the right type.

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let orders = builder.table("orders", &Topic::<str, str>::new("orders", Utf8, Utf8));
    let prices = builder.table("prices", &Topic::<i64, i64>::new("prices", I64Be, I64Be));
    orders.join("priced", &prices, |order, price| format!("{order} {price}"));
    let store = Materialized::<str, String>::as_("referred", Utf8, Utf8);
    let refer = |_: &str, order: &str| Some(order.to_owned());
    orders.join_foreign_key(&store, &prices, refer, |order, price| format!("{order} {price}"));
}
