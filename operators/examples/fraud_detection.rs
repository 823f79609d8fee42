//! Fraud detection: a card whose payments fail three times within a minute is blocked for ten.
//! `cargo run -p operators --example fraud_detection`.

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use operators::{
    Input, MachineContext, Serde, StreamsBuilder, Topic, Topology, TopologyError,
    TopologyTestDriver, Utf8, codec_fn,
};
use support::{About, BadLine, Table};

const ABOUT: About = About {
    name: "fraud_detection",
    what: "Blocks a card for ten minutes when three of its payments fail within one.",
    lines: "  SECOND CARD ok|failed     SECOND counts from the start and never goes back",
    sample: "\
0 card-1 ok
10 card-2 failed
25 card-2 failed
30 card-1 failed
40 card-2 failed
# card-2 is blocked from here on, whatever the bank says
55 card-2 ok
# more than a minute after the other failure of card-1
95 card-1 failed
# ten minutes later nobody has to remind the flow: a durable deadline unblocks card-2
700 card-2 ok
",
};

const FORM: &str = "write `SECOND CARD ok` or `SECOND CARD failed`";
const FAILURES: usize = 3;
const WITHIN_MS: i64 = 60_000;
const BLOCKED_MS: i64 = 600_000;

/// What is known of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Card {
    /// When its last payments failed, ms since 1970.
    Watched(Vec<i64>),
    Blocked,
}

/// What becomes of a payment or of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// Of a card that is blocked: somebody looks at it.
    Held,
    Blocked,
    Unblocked,
}

fn cards() -> Serde<Card> {
    codec_fn(
        "card-v1",
        |card: &Card, out| {
            match card {
                Card::Watched(times) => {
                    times.iter().for_each(|time| out.extend_from_slice(&time.to_be_bytes()));
                }
                Card::Blocked => out.extend_from_slice(b"blocked"),
            }
            Ok(())
        },
        |bytes| {
            if bytes == b"blocked" {
                return Ok(Card::Blocked);
            }
            let (times, rest) = bytes.as_chunks();
            let times = times.iter().copied().map(i64::from_be_bytes).collect();
            if rest.is_empty() {
                Ok(Card::Watched(times))
            } else {
                Err("not eight bytes a time".into())
            }
        },
    )
}

/// Card → `ok` or `failed`.
fn payments() -> Topic<str, str> {
    Topic::new("payments", Utf8, Utf8)
}

/// Card → verdict, by its name.
fn verdicts(name: &str) -> Topic<str, String> {
    Topic::new(name, Utf8, Utf8)
}

/// One step of a card: pure, so a test needs no driver.
fn step(
    _card: &str,
    known: Option<&Card>,
    input: Input<'_, str>,
    ctx: &mut MachineContext<'_, Card, Verdict>,
) {
    match (known, input) {
        (Some(Card::Blocked), Input::Message(_)) => {
            ctx.emit(Verdict::Held);
        }
        (Some(Card::Blocked), Input::Timer(due)) => {
            ctx.delete();
            ctx.emit(Verdict::Unblocked).at(due);
        }
        // A minute without a failure: the card is forgotten.
        (_, Input::Timer(_)) => ctx.delete(),
        (_, Input::Message("ok")) => {
            ctx.emit(Verdict::Accepted);
        }
        (known, Input::Message(_)) => {
            let now = ctx.now();
            let mut times = match known {
                Some(Card::Watched(times)) => times.clone(),
                _ => Vec::new(),
            };
            times.retain(|time| now - time < WITHIN_MS);
            times.push(now);
            ctx.emit(Verdict::Refused);
            if times.len() < FAILURES {
                ctx.set(Card::Watched(times));
                ctx.deadline(Some(now + WITHIN_MS));
            } else {
                ctx.set(Card::Blocked);
                ctx.deadline(Some(now + BLOCKED_MS));
                ctx.emit(Verdict::Blocked);
            }
        }
    }
}

/// The flow: payments to `accepted_payments`, `held_payments` or nowhere; news of cards to `card_alerts`.
fn fraud_detection() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new("fraud-detection");
    let judged = builder.stream(&payments()).state_machine("cards", cards(), step);
    let split = judged.split();
    let named = |verdict: &Verdict| format!("{verdict:?}").to_lowercase();
    split
        .branch("alerts", |_, verdict| matches!(verdict, Verdict::Blocked | Verdict::Unblocked))
        .map_values(named)
        .to(&verdicts("card_alerts"));
    split
        .branch("held", |_, verdict| *verdict == Verdict::Held)
        .map_values(named)
        .to(&verdicts("held_payments"));
    split
        .branch("accepted", |_, verdict| *verdict == Verdict::Accepted)
        .map_values(named)
        .to(&verdicts("accepted_payments"));
    builder.build()
}

/// All verdicts in the order of their time.
fn run(topology: &Topology, input: &str) -> Result<Table, BadLine> {
    let driver = TopologyTestDriver::new(topology);
    for line in support::lines(input) {
        let [second, card, result] = line.words(FORM)?;
        let second: u32 = line.parsed(second, "SECOND is a whole number, such as 25")?;
        let ahead = i64::from(second) * 1000 - driver.now();
        if ahead < 0 {
            return Err(line.bad("time goes back", "sort the lines by SECOND"));
        }
        if !matches!(result, "ok" | "failed") {
            return Err(line.bad(format!("`{result}` isn't a result"), FORM));
        }
        driver.advance_wall_clock(ahead);
        driver.input(&payments()).pipe(card, result);
    }
    let mut rows = Vec::new();
    for topic in ["accepted_payments", "held_payments", "card_alerts"] {
        for record in driver.output(&verdicts(topic)).read_records() {
            let (card, verdict) =
                (record.key.unwrap_or_default(), record.value.unwrap_or_default());
            rows.push((record.timestamp / 1000, card, topic, verdict));
        }
    }
    rows.sort();
    let row = |(second, card, topic, verdict): (i64, String, &str, String)| {
        vec![second.to_string(), card, verdict, topic.to_owned()]
    };
    Ok(Table {
        head: vec!["second", "card", "verdict", "topic"],
        rows: rows.into_iter().map(row).collect(),
        notes: Vec::new(),
    })
}

fn main() -> ExitCode {
    let topology = fraud_detection().expect("the flow is valid: a test builds it");
    support::main(&ABOUT, &topology, |input| run(&topology, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_block_a_card_until_its_deadline() {
        let table = run(&fraud_detection().unwrap(), ABOUT.sample).unwrap();
        let rows: Vec<String> = table.rows.iter().map(|row| row[..3].join(" ")).collect();
        let expected = [
            "0 card-1 accepted",
            "40 card-2 blocked",
            "55 card-2 held",
            "640 card-2 unblocked",
            "700 card-2 accepted",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_block_survives_a_crash_and_ends_in_time() {
        let driver = TopologyTestDriver::new(&fraud_detection().unwrap());
        let pay = |result: &str| driver.input(&payments()).pipe("card", result);
        (0..FAILURES).for_each(|_| pay("failed"));
        driver.restart();
        pay("ok");
        assert_eq!(driver.output(&verdicts("held_payments")).read_values(), ["held"]);
        assert_eq!(driver.next_timer(), Some(BLOCKED_MS));
        driver.advance_wall_clock(BLOCKED_MS);
        pay("ok");
        assert_eq!(driver.output(&verdicts("card_alerts")).read_values(), ["blocked", "unblocked"]);
        assert_eq!(driver.output(&verdicts("accepted_payments")).read_values(), ["accepted"]);
        assert!(driver.rows("cards").is_empty(), "a card that is over leaves nothing behind");
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_do() {
        let error = |input| run(&fraud_detection().unwrap(), input).unwrap_err().to_string();
        assert_eq!(
            error("9 card ok\n5 card ok"),
            "line 2: time goes back; sort the lines by SECOND"
        );
        assert!(error("1 card perhaps").starts_with("line 1: `perhaps` isn't a result; write"));
    }
}
