//! The pictures of word count, byte for byte. After a wanted change: `UPDATE_GOLDEN=1 cargo test -p operators --test golden`.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

use std::path::Path;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};

fn word_count() -> Topology {
    let lines = Topic::<str, str>::new("lines", Utf8, Utf8);
    let stop_words = Topic::<str, str>::new("stop_words", Utf8, Utf8);
    let builder = StreamsBuilder::new("word-count");
    let stop_words = builder.global_table("stop-words", &stop_words);
    builder
        .stream(&lines)
        .flat_map_values::<str>(|line, emit| line.split_whitespace().for_each(emit))
        .left_join_global(
            "known",
            &stop_words,
            |_, word| Some(word.to_owned()),
            |word, stop| stop.map_or_else(|| word.to_owned(), |_| String::new()),
        )
        .with_value_serde(Utf8)
        .filter(|_, word| !word.is_empty())
        .group_by(|_, word| word.to_lowercase())
        .count(&Materialized::as_("counts", Utf8, I64Be))
        .to_stream()
        .to(&Topic::<str, i64>::new("word_counts", Utf8, I64Be));
    builder.build().unwrap()
}

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{} differs; UPDATE_GOLDEN=1 writes it", path.display());
}

#[test]
fn text() {
    check("word-count.txt", &word_count().to_string());
}

#[test]
fn mermaid() {
    check("word-count.mmd", &word_count().mermaid());
}

#[test]
fn dot() {
    check("word-count.dot", &word_count().dot());
}

#[test]
fn json() {
    let text = word_count().json();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["subtopologies"][1]["stores"][0]["changelog"], "word-count-counts-changelog");
    check("word-count.json", &text);
}

#[test]
fn manifest() {
    let manifest = word_count().manifest(&|topic| (!topic.starts_with("word-count")).then_some(3));
    check("word-count.manifest.json", &manifest.unwrap().to_json());
}
