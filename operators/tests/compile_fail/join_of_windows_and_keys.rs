//! A table of windows doesn't join one of their keys.

use operators::{I64Be, Materialized, StreamsBuilder, TimeWindows, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = Topic::<str, i64>::new("numbers", Utf8, I64Be);
    let keys = builder.table("keys", &numbers);
    let grouped = builder.stream(&numbers).group_by_key().windowed_by(TimeWindows::of_size(10));
    let windows = grouped.count(&Materialized::as_("windows", Utf8, I64Be));
    windows.join("join", &keys, |count, n| count + n);
}
