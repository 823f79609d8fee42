//! The tests of the examples, which `cargo test` only builds by itself.

#![allow(dead_code, reason = "the examples' `main` and command line are not called here")]
#![allow(clippy::duplicate_mod, reason = "each example brings what all of them share")]

#[path = "../examples/fraud_detection.rs"]
mod fraud_detection;
#[path = "../examples/page_views_by_region.rs"]
mod page_views_by_region;
#[path = "../examples/temperature_sessions.rs"]
mod temperature_sessions;
#[path = "../examples/word_count.rs"]
mod word_count;

/// What stands between two marks of the tutorial.
fn shown(mark: &str) -> &'static str {
    let tutorial = include_str!("../TUTORIAL.md");
    let rest = tutorial.split_once(&format!("<!-- {mark}: begin -->\n"));
    let shown = rest.and_then(|(_, rest)| rest.split_once(&format!("<!-- {mark}: end -->")));
    shown.expect("TUTORIAL.md has both marks").0
}

#[test]
fn the_tutorials_pictures_are_those_of_word_count() {
    let topology = word_count::word_count().unwrap();
    for (mark, language, picture) in
        [("describe", "text", topology.to_string()), ("mermaid", "mermaid", topology.mermaid())]
    {
        let expected = format!("```{language}\n{picture}```\n");
        assert!(shown(mark) == expected, "put this between the marks of TUTORIAL.md:\n{expected}");
    }
}
