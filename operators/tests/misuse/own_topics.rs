//! The application's own topics, read or written as if they were another's.

use operators::{KStream, RawBytes, StreamsBuilder, Topic, Utf8};

use crate::{check, numbers, said, store};

const CHANGELOG: &str = "app-sums-changelog";
const REPARTITION: &str = "app-r-repartition";
const CONTROL: &str = "app-p-control";

fn count(stream: &KStream<str, i64>) {
    stream.group_by_key().count(&store("sums"));
}

fn repartition(stream: &KStream<str, i64>) {
    stream.select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8).repartition("r");
}

#[test]
fn are_written_by_what_keeps_them() {
    let writes = |topic: &str, number: u32, what: &str| {
        let remedy = "write to a topic of your own";
        format!(
            "`sink-{topic}-{number}` writes `{topic}`, which is {what} and nobody else's; {remedy}"
        )
    };
    check(&[
        (
            &writes(CHANGELOG, 2, "the changelog of `sums`"),
            said(|_, s| {
                count(s);
                s.to(&numbers(CHANGELOG));
            }),
        ),
        (
            &writes(REPARTITION, 4, "the repartition topic of `r`"),
            said(|_, s| {
                repartition(s);
                s.to(&numbers(REPARTITION));
            }),
        ),
    ]);
}

#[test]
fn are_read_by_what_keeps_them() {
    let reads = |reader: &str, topic: &str, what: &str, remedy: &str| {
        format!("{reader} reads `{topic}`, which is {what}; {remedy}")
    };
    let stream = |topic: &str, what: &str, remedy: &str| {
        reads(&format!("`source-{topic}`"), topic, what, remedy)
    };
    let table = "go on from the table itself, with `to_stream`";
    check(&[
        (
            &stream(CHANGELOG, "the changelog of `sums`", table),
            said(|b, s| {
                count(s);
                b.stream(&numbers(CHANGELOG)).to(&numbers("out"));
            }),
        ),
        (
            &reads("the global table `all`", CHANGELOG, "the changelog of `sums`", table),
            said(|b, s| {
                count(s);
                b.global_table("all", &numbers(CHANGELOG));
            }),
        ),
        (
            &stream(
                REPARTITION,
                "the repartition topic of `r`",
                "go on from the stream that comes out of it",
            ),
            said(|b, s| {
                b.stream(&numbers(REPARTITION));
                repartition(s);
            }),
        ),
        (
            &stream(CONTROL, "the control topic of `p`", "read the commands where they come from"),
            said(|b, s| {
                s.filter(|_, _| true).park_key("p").to(&numbers("out"));
                b.stream(&Topic::<[u8], str>::new(CONTROL, RawBytes, Utf8));
            }),
        ),
    ]);
}

#[test]
fn take_commands_for_a_parking_from_the_flow() {
    let builder = StreamsBuilder::new("app");
    builder.stream(&numbers("in")).filter(|_, _| true).park_key("p").to(&numbers("out"));
    let commands = Topic::<str, str>::new("commands", Utf8, Utf8);
    builder.stream(&commands).to(&Topic::new(CONTROL, Utf8, Utf8));
    assert!(builder.build().is_ok());
}
