//! A stream of numbers doesn't go to a topic of text.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    numbers.filter(|_, n| *n > 0).to(&Topic::<str, str>::new("text", Utf8, Utf8));
}
