//! Streams of different values don't merge.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let text = builder.stream(&Topic::<str, str>::new("text", Utf8, Utf8));
    let numbers = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    text.merge(&numbers);
}
