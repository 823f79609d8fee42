//! Manifests: their text, and what each change of a topology means to the state that is there.

#![allow(clippy::unwrap_used, reason = "a test fails where something fails")]

use operators::manifest::{Manifest, ManifestError, Verdict};
use operators::{
    EmitStrategy, I64Be, JoinWindows, KStream, KeyValueDef, ListDef, Materialized, Processor,
    ProcessorContext, SessionWindows, SlidingWindows, StoreDef, StreamsBuilder, TimeWindows,
    TimestampedDef, Topic, Utf8,
};

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

fn store(name: &str) -> Materialized<str, i64> {
    Materialized::as_(name, Utf8, I64Be)
}

type Flow = fn(&StreamsBuilder, &KStream<str, i64>);

/// The manifest of a flow on the stream of topic `in`; topic `many` has six partitions, all others three.
fn manifest(flow: Flow) -> Manifest {
    let builder = StreamsBuilder::new("app");
    flow(&builder, &builder.stream(&numbers("in")));
    let of = |topic: &str| Some(if topic.contains("many") { 6 } else { 3 });
    builder.build().unwrap().manifest(&of).unwrap()
}

fn counts(_: &StreamsBuilder, stream: &KStream<str, i64>) {
    stream.group_by_key().count(&store("counts"));
}

fn windowed(_: &StreamsBuilder, stream: &KStream<str, i64>) {
    stream.group_by_key().windowed_by(TimeWindows::of_size(10)).count(&store("counts"));
}

fn rekeyed(_: &StreamsBuilder, stream: &KStream<str, i64>) {
    stream.group_by::<str>(|_, n| n.to_string()).count(&store("counts"));
}

fn check(old: Flow, new: Flow, verdict: Verdict, lines: &[&str]) {
    let comparison = Manifest::compare(&manifest(old), &manifest(new));
    let said = comparison.to_string();
    let lines: String = lines.join("\n");
    assert_eq!(said, lines, "said:\n{said}\nexpected:\n{lines}\n");
    assert_eq!(comparison.verdict, verdict, "{said}");
}

#[test]
fn what_state_does_not_depend_on_is_not_in_it() {
    check(counts, counts, Verdict::Same, &[]);
    let surrounded: Flow = |b, stream| {
        b.stream(&numbers("in")).filter(|_, n| *n < 0).to(&numbers("losses"));
        let kept = stream.filter(|_, _| true).map_values(|n| n + 1).with_value_serde(I64Be);
        let counts = kept.group_by_key().count(&store("counts"));
        counts.to_stream().peek(|_| {}).to(&numbers("out"));
    };
    check(counts, surrounded, Verdict::Same, &[]);
    check(surrounded, counts, Verdict::Same, &[]);
    let graceful: Flow = |_, stream| {
        let windows = TimeWindows::of_size(10).advance_by(5);
        stream.group_by_key().windowed_by(windows).count(&store("counts"));
    };
    check(windowed, graceful, Verdict::Same, &[]);
}

#[test]
fn stores_come_and_go() {
    let both: Flow = |_, stream| {
        stream.group_by_key().count(&store("counts"));
        stream.group_by_key().reduce(&store("sums"), |a, b| a + b);
    };
    check(
        counts,
        both,
        Verdict::Compatible,
        &[
            "  store `sums`: was absent, is key-value store of `i64-be` by `utf8` (compatible): begins empty and knows \
           only what is read from now on",
        ],
    );
    check(
        both,
        counts,
        Verdict::Compatible,
        &[
            "  store `sums`: was key-value store of `i64-be` by `utf8`, is absent (compatible): its changelog \
           `app-sums-changelog` is orphaned: delete it when no older version will run again",
        ],
    );
    let renamed: Flow = |_, stream| drop(stream.group_by_key().count(&store("totals")));
    check(
        counts,
        renamed,
        Verdict::NeedsMigration,
        &[
            "  store `counts`: was `counts`, is `totals` (needs migration): state doesn't follow a rename: call it \
           `counts` again; or, if `totals` is to begin empty, accept the change and delete topic \
           `app-counts-changelog`",
        ],
    );
}

#[test]
fn a_store_that_comes_back_has_missed_something() {
    let nothing: Flow = |_, stream| stream.to(&numbers("out"));
    let gone = manifest(nothing).after(&manifest(counts));
    assert_eq!(gone.retired.iter().collect::<Vec<_>>(), ["counts"]);
    let back = Manifest::compare(&gone, &manifest(counts));
    assert_eq!(back.verdict, Verdict::NeedsMigration);
    let remedy = &back.differences[0].remedy;
    assert!(remedy.contains("has missed what came since"), "{remedy}");
    assert!(manifest(counts).after(&gone).retired.is_empty());
}

#[test]
fn rows_that_would_be_misread() {
    let renaming = "its rows would be misread: undo the change, or give the store another name (it begins empty, \
                    `app-counts-changelog` is orphaned)";
    let larger: Flow = |_, stream| {
        stream.group_by_key().windowed_by(TimeWindows::of_size(20)).count(&store("counts"));
    };
    let size = format!(
        "  windows of store `counts` (node `counts`): was time windows of 10 ms, is time windows of 20 ms \
         (incompatible): {renaming}"
    );
    let retention = "  retention of store `counts` (node `counts`): was 10 ms, is 20 ms (compatible): what has \
                     expired may be forgotten already; a changelog on Kafka keeps its retention.ms until somebody alters the topic";
    check(windowed, larger, Verdict::Incompatible, &[&size, retention]);
    let sliding: Flow = |_, stream| {
        let windows = SlidingWindows::of_time_difference(10);
        stream.group_by_key().windowed_by(windows).count(&store("counts"));
    };
    let comparison = Manifest::compare(&manifest(windowed), &manifest(sliding));
    assert_eq!(comparison.verdict, Verdict::Incompatible, "{comparison}");
    let sessions: Flow = |_, stream| {
        let windows = SessionWindows::of_gap(10);
        stream.group_by_key().windowed_by_sessions(windows).count(&store("counts"));
    };
    let kind = format!(
        "  kind of store `counts` (node `counts`): was window store of `i64-be` by `utf8`, is session store of \
         `i64-be` by `utf8` (incompatible): {renaming}"
    );
    check(windowed, sessions, Verdict::Incompatible, &[&kind]);
    let processor: Flow = |_, stream| {
        let def = KeyValueDef::<str, i64>::new("counts", Utf8, I64Be);
        stream.process::<str, i64>("p", &[def.def()], |_| Box::new(Idle));
    };
    let plain = format!(
        "  operator of store `counts` (node `p`): was `count`, is `process` (incompatible): {renaming}"
    );
    check(counts, processor, Verdict::Incompatible, &[&plain]);
}

struct Idle;

impl Processor<str, i64, str, i64> for Idle {
    fn process(
        &mut self,
        _: operators::Record<'_, str, i64>,
        _: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), operators::BoxError> {
        Ok(())
    }
}

#[test]
fn formats_and_operators() {
    let text: Flow = |_, stream| {
        let store = Materialized::<str, String>::as_("counts", Utf8, Utf8);
        stream.group_by_key().aggregate(&store, String::new, |_, n, all| format!("{all}{n}"));
    };
    check(
        counts,
        text,
        Verdict::NeedsMigration,
        &[
            "  value format of store `counts` (node `counts`): was `i64-be`, is `utf8` (needs migration): if the new \
             codec reads the old rows, accept the change; else give the store another name: it begins empty",
            "  operator of store `counts` (node `counts`): was `count`, is `aggregate` (compatible): goes on with its \
             rows",
        ],
    );
}

#[test]
fn a_processors_store_of_another_kind_has_another_format() {
    fn kept(stream: &KStream<str, i64>, def: &StoreDef) {
        stream.process::<str, i64>("p", std::slice::from_ref(def), |_| Box::new(Idle));
    }
    let plain: Flow =
        |_, stream| kept(stream, &KeyValueDef::<str, i64>::new("s", Utf8, I64Be).def());
    let timed: Flow =
        |_, stream| kept(stream, &TimestampedDef::<str, i64>::new("s", Utf8, I64Be).def());
    let list: Flow = |_, stream| kept(stream, &ListDef::<str, i64>::new("s", Utf8, I64Be).def());
    let formats = [plain, timed, list].map(|flow| manifest(flow).stores["s"].value.clone());
    assert_eq!(formats, ["i64-be", "timestamped-i64-be", "list-i64-be"]);
    assert_eq!(
        Manifest::compare(&manifest(plain), &manifest(list)).verdict,
        Verdict::NeedsMigration
    );
}

#[test]
fn topics() {
    let more: Flow = |b, stream| {
        drop(stream.merge(&b.stream(&numbers("more"))).group_by_key().count(&store("counts")))
    };
    check(
        counts,
        more,
        Verdict::Compatible,
        &[
            "  topic `more`: was not read, is read (compatible): is read from its start, or from where this application \
           left it earlier",
        ],
    );
    check(
        more,
        counts,
        Verdict::Compatible,
        &[
            "  topic `more`: was read, is not read (compatible): what it holds beyond the committed offsets isn't read \
           any more",
        ],
    );
    check(
        rekeyed,
        counts,
        Verdict::NeedsMigration,
        &[
            "  repartition topic `app-counts-repartition`: was read, is not read (needs migration): records on their way \
           in it would be lost: run the old version without input until it has read the topic to its end, then accept \
           the change",
        ],
    );
    let other_text: Flow = |b, _| {
        b.stream(&Topic::<str, str>::new("more", Utf8, Utf8)).to(&Topic::new("o", Utf8, Utf8))
    };
    let other_numbers: Flow = |b, _| b.stream(&numbers("more")).to(&numbers("o"));
    check(
        other_numbers,
        other_text,
        Verdict::Compatible,
        &[
            "  value format of topic `more`: was `i64-be`, is `utf8` (compatible): records that the new codec can't read \
           go where the source's error policy says (dead_letters)",
        ],
    );
}

#[test]
fn partition_counts() {
    let at = |flow: Flow, count: u32| {
        let builder = StreamsBuilder::new("app");
        flow(&builder, &builder.stream(&numbers("in")));
        builder.build().unwrap().manifest(&|topic| (topic == "in").then_some(count)).unwrap()
    };
    let grown = Manifest::compare(&at(counts, 3), &at(counts, 6));
    assert_eq!(
        grown.to_string(),
        "  partitions of topic `in`: was 3, is 6 (incompatible): the rows of `counts` would stay where keys of the old \
         count belong: recreate the topic with 3 partitions, or begin anew under another application.id"
    );
    let stateless: Flow = |_, stream| stream.to(&numbers("out"));
    let grown = Manifest::compare(&at(stateless, 3), &at(stateless, 6));
    assert_eq!(grown.verdict, Verdict::Compatible, "{grown}");
    let moved: Flow =
        |b, _| drop(b.stream(&numbers("many")).group_by_key().count(&store("counts")));
    let moved = Manifest::compare(&manifest(counts), &manifest(moved));
    assert_eq!(moved.verdict, Verdict::Incompatible);
    assert_eq!(
        moved.differences[0].to_string(),
        "partitions of store `counts` (node `counts`): was 3, is 6 (incompatible): its sub-topology reads `many` now: \
         recreate these topics with 3 partitions, or begin anew under another application.id"
    );
}

#[test]
fn another_application_or_a_later_program() {
    let mut other = manifest(counts);
    other.application = "other".to_owned();
    let comparison = Manifest::compare(&other, &manifest(counts));
    assert_eq!(
        comparison.to_string(),
        "  application: was `other`, is `app` (incompatible): the state belongs to another application: give each one \
         a state folder of its own"
    );
    let text = manifest(counts).to_json();
    assert_eq!(Manifest::from_json(&text).unwrap(), manifest(counts));
    let later = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(Manifest::from_json(&later), Err(ManifestError::Newer { found: 2 }));
    let rows = text.replacen("\"row_layouts\": 1", "\"row_layouts\": 2", 1);
    let comparison = Manifest::compare(&Manifest::from_json(&rows).unwrap(), &manifest(counts));
    assert_eq!(comparison.verdict, Verdict::Incompatible, "{comparison}");
    for damaged in ["", "{}", "{\"version\": 1}"] {
        let read = Manifest::from_json(damaged);
        assert!(matches!(read, Err(ManifestError::Damaged { .. })), "{damaged}: {read:?}");
    }
}

#[test]
fn a_token_stands_for_one_change() {
    let (old, new) = (manifest(counts), manifest(windowed));
    let token = Manifest::compare(&old, &new).token();
    assert_eq!(token, Manifest::compare(&old, &new).token());
    assert_ne!(token, Manifest::compare(&new, &old).token());
    assert_eq!(token.len(), 8);
}

#[test]
fn it_reads_as_documented() {
    let flow: Flow = |b, stream| {
        let grouped = stream.group_by_key().windowed_by(TimeWindows::of_size(10).grace(5));
        grouped.emit_strategy(EmitStrategy::OnWindowClose).count(&store("w"));
        let windows = JoinWindows::of_time_difference(10);
        stream.left_join_stream("pair", &b.stream(&numbers("other")), windows, |a, b| {
            a + b.copied().unwrap_or(0)
        });
    };
    let manifest = manifest(flow);
    let names: Vec<_> = manifest.stores.keys().collect();
    let expected = [
        "pair-other-join-store",
        "pair-shared-join-store",
        "pair-this-join-store",
        "pair-time",
        "w",
        "w-closing",
        "w-time",
    ];
    assert_eq!(names, expected);
    let text = manifest.to_json();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "node": "w", "operator": "window-count", "kind": "window", "retention_ms": 15,
        "windows": { "kind": "time", "size_ms": 10 }, "key": "utf8", "value": "i64-be",
        "changelog": "app-w-changelog", "partitions": 3, "sources": ["in", "other"],
    });
    assert_eq!(value["stores"]["w"], expected, "{text}");
    assert_eq!(value["stores"]["pair-this-join-store"]["kind"], "window-with-duplicates");
    let source = serde_json::json!({
        "key": "utf8", "value": "i64-be", "partitions": 3, "repartition": false,
    });
    assert_eq!(value["sources"]["in"], source);
}
