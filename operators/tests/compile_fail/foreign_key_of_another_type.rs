//! A foreign key has the type of the other table's keys.

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let orders = builder.table("orders", &Topic::<str, i64>::new("orders", Utf8, I64Be));
    let people = builder.table("people", &Topic::<str, str>::new("people", Utf8, Utf8));
    let store = Materialized::<str, String>::as_("named", Utf8, Utf8);
    orders.join_foreign_key(&store, &people, |_, n| Some(*n), |n, name| format!("{n} {name}"));
}
