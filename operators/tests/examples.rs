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

#[test]
fn the_tutorials_pictures_are_those_of_word_count() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/TUTORIAL.md");
    let mut tutorial = std::fs::read_to_string(path).unwrap();
    let topology = word_count::word_count().unwrap();
    for (language, picture) in [("text", topology.to_string()), ("mermaid", topology.mermaid())] {
        let begin = format!("<!-- {language}: begin -->\n```{language}\n");
        let end = format!("```\n<!-- {language}: end -->");
        let (before, rest) = tutorial.split_once(&begin).expect("TUTORIAL.md has the begin mark");
        let (shown, after) = rest.split_once(&end).expect("TUTORIAL.md has the end mark");
        let update = shown == picture || std::env::var_os("UPDATE_GOLDEN").is_some();
        assert!(update, "an old picture; `UPDATE_GOLDEN=1` rewrites it:\n{picture}");
        tutorial = [before, &begin, &picture, &end, after].concat();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, tutorial).unwrap();
    }
}
