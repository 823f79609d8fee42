//! A stream of several topics has one type of values.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let text = Topic::<str, str>::new("text", Utf8, Utf8);
    let numbers = Topic::<str, i64>::new("numbers", Utf8, I64Be);
    builder.stream_of([&text, &numbers]);
}
