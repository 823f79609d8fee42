//! Word count: `cargo run -p operators --example word_count`.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::process::ExitCode;

use operators::{
    I64Be, Materialized, StreamsBuilder, Topic, Topology, TopologyError, TopologyTestDriver, Utf8,
};
use support::{About, BadLine, Table};

const ABOUT: About = About {
    name: "word_count",
    what: "Counts the words of its lines, whatever their case.",
    lines: "  any text",
    sample: "the quick brown fox\njumps over\nthe lazy dog\nThe End\n",
};

/// Keys don't matter: words become the keys.
pub(crate) fn lines() -> Topic<str, str> {
    Topic::new("lines", Utf8, Utf8)
}

/// Each word with how often it came so far.
pub(crate) fn counts() -> Topic<str, i64> {
    Topic::new("word_counts", Utf8, I64Be)
}

/// The flow.
pub(crate) fn word_count() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("word-count");
    builder
        .stream(&lines())
        .flat_map_values::<str>(|line, emit| line.split_whitespace().for_each(emit))
        .with_value_serde(Utf8)
        .group_by(|_, word| word.to_lowercase())
        .count(&Materialized::as_("counts", Utf8, I64Be))
        .to_stream()
        .to(&counts());
    builder.build()
}

/// The words with their last counts, the most frequent first.
pub(crate) fn run(topology: &Topology, input: &str) -> Result<Table, BadLine> {
    let driver = TopologyTestDriver::new(topology);
    for line in support::lines(input) {
        driver.input(&lines()).pipe("", line.text);
    }
    let mut last = BTreeMap::new();
    for record in driver.output(&counts()).read_records() {
        last.insert(record.key.unwrap_or_default(), record.value.unwrap_or_default());
    }
    let mut rows: Vec<(String, i64)> = last.into_iter().collect();
    rows.sort_by_key(|(_, count)| -count);
    let rows = rows.into_iter().map(|(word, count)| vec![word, count.to_string()]).collect();
    Ok(Table { head: vec!["word", "count"], rows, notes: Vec::new() })
}

fn main() -> ExitCode {
    let topology = word_count().expect("the flow is valid: a test builds it");
    support::main(&ABOUT, &topology, |input| run(&topology, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_whatever_their_case_and_the_most_frequent_comes_first() {
        let table = run(&word_count().unwrap(), ABOUT.sample).unwrap();
        assert!(table.to_string().starts_with("word   count\n-----  -----\nthe    3\n"), "{table}");
        assert_eq!(table.rows.len(), 9);
    }

    #[test]
    fn help_shows_the_form_of_lines_and_the_sample() {
        let help = support::help(&ABOUT);
        assert!(help.contains("--example word_count") && help.contains("the lazy dog"), "{help}");
    }
}
