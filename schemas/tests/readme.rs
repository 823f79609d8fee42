//! The topic table of `schemas/README.md` is the catalogue.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fmt::Write;

use schemas::topics::{self, Cleanup};

const BEGIN: &str = "<!-- topics: begin -->\n";
const END: &str = "<!-- topics: end -->";

fn table() -> String {
    let mut table =
        String::from("| topic | key | value | written by | keeps |\n|---|---|---|---|---|\n");
    for topic in topics::ALL {
        let value = topic.schema().map_or("as it was", |schema| schema.name());
        let keeps = match topic.cleanup {
            Cleanup::Compact => "last of each key".to_owned(),
            Cleanup::Delete { retention_ms: None } => "everything".to_owned(),
            Cleanup::Delete { retention_ms: Some(ms) } => format!("{} days", ms / 86_400_000),
        };
        let keeps = keeps.replace("1 days", "1 day");
        let (name, key, writers) = (topic.name, topic.key, topic.writers);
        writeln!(table, "| `{name}` | {key} | {value} | {writers} | {keeps} |").unwrap();
    }
    table
}

#[test]
fn the_table_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the begin mark");
    let (written, after) = rest.split_once(END).expect("README.md has the end mark");
    let table = table();
    if written != table {
        let remedy = "`UPDATE_GOLDEN=1 cargo test -p schemas --test readme` rewrites it";
        assert!(
            std::env::var_os("UPDATE_GOLDEN").is_some(),
            "the table is old; {remedy}:\n{table}"
        );
        std::fs::write(path, [before, BEGIN, &table, END, after].concat()).unwrap();
    }
}
