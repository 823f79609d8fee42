//! A codec of numbers doesn't write text.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let topic = Topic::<str, str>::new("words", Utf8, I64Be);
    builder.stream(&topic).map_values(|word| word.len() as i64).with_value_serde(Utf8);
}
