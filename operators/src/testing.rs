//! What the operators' unit tests share.

use crate::codec::{I64Be, Utf8};
use crate::{Dropped, Headers, KStream, StreamsBuilder, Topic, TopologyTestDriver};

/// Key and value of a record, either possibly null.
pub(crate) type Pair = (Option<String>, Option<i64>);

pub(crate) fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

pub(crate) fn pair(key: &str, value: i64) -> Pair {
    (Some(key.to_owned()), Some(value))
}

/// Records with all combinations of nulls.
pub(crate) const SAMPLE: [(Option<&str>, Option<i64>); 5] =
    [(Some("a"), Some(1)), (Some("b"), Some(2)), (None, Some(3)), (Some("c"), None), (None, None)];

/// What comes out of a flow for these records, at times 0, 1, 2, …, and what was dropped on the way.
pub(crate) fn through(
    flow: impl FnOnce(KStream<str, i64>) -> KStream<str, i64>,
    input: &[(Option<&str>, Option<i64>)],
) -> (Vec<Pair>, Dropped) {
    let builder = StreamsBuilder::new("test");
    flow(builder.stream(&numbers("in"))).to(&numbers("out"));
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    for (time, (key, value)) in input.iter().enumerate() {
        let piped = driver.input(&numbers("in")).try_pipe(
            *key,
            value.as_ref(),
            time as i64,
            &Headers::new(),
        );
        piped.unwrap();
    }
    (driver.output(&numbers("out")).read_key_values(), driver.dropped())
}
