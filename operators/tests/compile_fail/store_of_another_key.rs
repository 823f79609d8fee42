//! What is counted by text isn't kept by number.

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let words = builder.stream(&Topic::<str, i64>::new("words", Utf8, I64Be)).group_by_key();
    words.count(&Materialized::<i64, i64>::as_("counts", I64Be, I64Be));
}
