//! `tests/REQUIREMENTS.md` has one row for each requirement of the source
//! documents, with one of five states, and names only tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The requirements are R1 to this.
const LAST: usize = 316;
const STATES: [&str; 5] = ["done", "partly", "later", "meta", "n/a"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn document() -> String {
    fs::read_to_string(root().join("tests/REQUIREMENTS.md"))
        .expect("tests/REQUIREMENTS.md can be read")
}

/// Number, state and evidence of each row.
fn rows(document: &str) -> Vec<(&str, &str, &str)> {
    document
        .lines()
        .filter(|line| line.starts_with("| R") && !line.starts_with("| R |"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "not four cells: {line}");
            (cells[1], cells[3], cells[4])
        })
        .collect()
}

#[test]
fn every_requirement_has_one_row() {
    let document = document();
    for number in 1..=LAST {
        let found = document.matches(&format!("| R{number} |")).count();
        assert_eq!(found, 1, "R{number} appears {found} times");
    }
    assert_eq!(rows(&document).len(), LAST, "a row beyond R{LAST}");
}

#[test]
fn states_are_of_the_five_words_and_say_enough() {
    let document = document();
    for (number, state, evidence) in rows(&document) {
        assert!(STATES.contains(&state), "{number}: {state:?} is none of {STATES:?}");
        assert!(state != "done" || evidence.contains('`'), "{number}: done without evidence");
        assert!(state != "partly" || evidence != "–", "{number}: partly, and what is missing?");
        assert!(state != "n/a" || evidence.starts_with('T'), "{number}: n/a by which T?");
    }
}

/// Evidence is written `file.rs::name` between backticks.
#[test]
fn named_tests_exist() {
    let document = document();
    let mut checked = 0;
    for (file, name) in document.split('`').filter_map(|text| text.split_once(".rs::")) {
        let path = root().join(format!("{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("fn {name}(")), "{name} is not in {}", path.display());
        checked += 1;
    }
    assert!(checked > 200, "only {checked} tests are named");
}
