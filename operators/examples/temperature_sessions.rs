//! Temperature sessions: stretches of heat per sensor, told once they are over.
//! `cargo run -p operators --example temperature_sessions`.

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use operators::{
    EmitStrategy, I64Be, Materialized, SessionWindows, StreamsBuilder, Topic, Topology,
    TopologyError, TopologyTestDriver, Utf8, Windowed,
};
use support::{About, BadLine, Table};

const ABOUT: About = About {
    name: "temperature_sessions",
    what: "Finds stretches of heat (30 °C and more) with at most 10 minutes between two readings, and\n\
           tells the highest one when a stretch is over: as soon as a hot reading of any sensor is so\n\
           much later that nothing can be added. Readings may come 2 minutes late.",
    lines: "  MINUTE SENSOR DEGREES     MINUTE counts from the start; DEGREES as 31.5",
    sample: "\
0 attic 31.0
4 attic 33.5
5 cellar 18.0
9 oven 210.0
# two minutes late, and between two readings: still the same stretch
7 attic 34.5
12 attic 30.0
# cold readings end nothing by themselves
15 attic 29.0
40 attic 32.0
# a later reading brings out what is over; the oven is still hot when the sample ends
70 oven 180.0
",
};

const FORM: &str = "write `MINUTE SENSOR DEGREES`, such as `7 attic 34.5`";
const MINUTE_MS: i64 = 60_000;
const HOT_TENTHS: i64 = 300;

/// Sensor → tenths of a degree.
fn readings() -> Topic<str, i64> {
    Topic::new("readings", Utf8, I64Be)
}

/// The flow and the topic of its results: sensor and stretch → highest reading, in tenths of a degree.
fn heat() -> Result<(Topology, Topic<Windowed<str>, i64>), TopologyError> {
    let builder = StreamsBuilder::new("temperature-sessions");
    let sessions = builder
        .stream(&readings())
        .filter(|_, tenths| *tenths >= HOT_TENTHS)
        .group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(10 * MINUTE_MS).grace(2 * MINUTE_MS))
        .emit_strategy(EmitStrategy::OnWindowClose)
        .reduce(&Materialized::as_("heat", Utf8, I64Be), |highest, tenths| *highest.max(tenths));
    let keys = sessions.key_serde().expect("sessions know how their keys are written");
    let results = Topic::new("heat_sessions", keys, I64Be);
    sessions.to_stream().to(&results);
    Ok((builder.build()?, results))
}

/// The stretches that are over, in the order of their end.
fn run(
    (topology, results): &(Topology, Topic<Windowed<str>, i64>),
    input: &str,
) -> Result<Table, BadLine> {
    let driver = TopologyTestDriver::new(topology);
    for line in support::lines(input) {
        let [minute, sensor, degrees] = line.words(FORM)?;
        let minute: u32 = line.parsed(minute, "MINUTE is a whole number, such as 7")?;
        let degrees: f64 = line.parsed(degrees, "DEGREES is a number, such as 34.5")?;
        let tenths = (degrees * 10.0).round() as i64;
        driver.input(&readings()).pipe_at(sensor, &tenths, i64::from(minute) * MINUTE_MS);
    }
    let mut rows = Vec::new();
    for record in driver.output(results).read_records() {
        if let (Some(key), Some(tenths)) = (record.key, record.value) {
            let (from, to) = (key.window.start / MINUTE_MS, key.window.end / MINUTE_MS);
            let highest = format!("{}.{} °C", tenths / 10, tenths % 10);
            rows.push(vec![key.key().to_owned(), from.to_string(), to.to_string(), highest]);
        }
    }
    let head = vec!["sensor", "from minute", "to minute", "highest"];
    Ok(Table { head, rows, notes: Vec::new() })
}

fn main() -> ExitCode {
    let flow = heat().expect("the flow is valid: a test builds it");
    support::main(&ABOUT, &flow.0, |input| run(&flow, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_told_once_when_it_is_over() {
        let table = run(&heat().unwrap(), ABOUT.sample).unwrap();
        let rows: Vec<String> = table.rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["oven 9 9 210.0 °C", "attic 0 12 34.5 °C", "attic 40 40 32.0 °C"]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_do() {
        let error = |input| run(&heat().unwrap(), input).unwrap_err().to_string();
        assert_eq!(
            error("# a comment\n\n7 attic warm"),
            "line 3: `warm` can't be read; DEGREES is a number, such as 34.5"
        );
        assert!(error("7 attic").contains("2 words instead of 3; write `MINUTE SENSOR DEGREES`"));
    }
}
