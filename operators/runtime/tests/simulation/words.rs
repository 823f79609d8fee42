//! The topology under test and what its output must be.

use std::collections::BTreeMap;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};

pub(crate) const INPUT: &str = "lines";
pub(crate) const OUTPUT: &str = "counts";
pub(crate) const PARTITIONS: u32 = 3;

/// Counts words that arrive under other keys.
pub(crate) fn topology() -> Topology {
    let builder = StreamsBuilder::new("word-count");
    let lines = builder.stream::<str, str>(&Topic::new(INPUT, Utf8, Utf8));
    lines
        .select_key::<str>(|_, word| word.to_owned())
        .group_by_key()
        .count(&Materialized::as_("words", Utf8, I64Be))
        .to_stream()
        .to(&Topic::new(OUTPUT, Utf8, I64Be));
    builder.build().unwrap()
}

/// Per word, the counts that must be committed, in order.
pub(crate) fn expected(appended: &[String]) -> BTreeMap<String, Vec<i64>> {
    let mut counts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for word in appended {
        let of_word = counts.entry(word.clone()).or_default();
        of_word.push(of_word.len() as i64 + 1);
    }
    counts
}
