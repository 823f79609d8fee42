//! A timestamp extractor sees the topic's records.

use operators::{Consumed, I64Be, StreamsBuilder, TimestampExtractor, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = Topic::<str, i64>::new("numbers", Utf8, I64Be);
    let lengths = TimestampExtractor::<str, str>::custom(|record, _| record.value.map_or(0, str::len) as i64);
    builder.stream_with(&numbers, Consumed::with_timestamps(lengths));
}
