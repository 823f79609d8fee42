//! Interactive queries on a log in memory: members stepped by hand, queries passed on in the process.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

#[path = "../machine/clocked_log.rs"]
mod clocked_log;
mod committed;
mod ring;
mod routing;
mod selections;
mod stale;

use operators::{
    I64Be, Materialized, Serde, SessionWindows, StreamsBuilder, TimeWindows, Topic, Topology, Utf8,
    Windowed,
};

/// 2023-11-14, on a full minute.
const NOON: i64 = 1_699_963_200_000;
const MINUTE: i64 = 60_000;

fn words() -> Topic<str, str> {
    Topic::new("words", Utf8, Utf8)
}

fn counts() -> Materialized<str, i64> {
    Materialized::as_("counts", Utf8, I64Be)
}

/// Kept for an hour.
fn minutes() -> Materialized<str, i64> {
    Materialized::as_("minutes", Utf8, I64Be).retention_ms(60 * MINUTE)
}

/// The minutes' counts once more, by word and minute.
fn kept(key: Serde<Windowed<str>>) -> Materialized<Windowed<str>, i64> {
    Materialized::as_("kept", key, I64Be)
}

/// Words counted: all of them, per minute (kept for an hour), per session with gaps of a minute.
fn topology() -> Topology {
    let builder = StreamsBuilder::new("words");
    let said = builder.stream(&words());
    said.group_by_key().count(&counts());
    let by_minute = said.group_by_key().windowed_by(TimeWindows::of_size(MINUTE)).count(&minutes());
    by_minute.materialize(&kept(by_minute.key_serde().unwrap()));
    said.group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(MINUTE))
        .count(&Materialized::as_("sessions", Utf8, I64Be).retention_ms(60 * MINUTE));
    builder.build().unwrap()
}
