//! Temperature sessions: stretches of heat per sensor, told once they are over.
//! `cargo run -p operators --example temperature_sessions`.

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use operators::{
    EmitStrategy, I64Be, Materialized, SessionWindows, StreamsBuilder, Topic, TopologyError,
    TopologyTestDriver, Utf8, Window,
};
use support::windowed::WindowedFlow;
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

/// Sensor and stretch → highest reading, in tenths of a degree.
fn heat() -> Result<WindowedFlow, TopologyError> {
    let builder = StreamsBuilder::new("temperature-sessions");
    let sessions = builder
        .stream(&readings())
        .filter(|_, tenths| *tenths >= HOT_TENTHS)
        .group_by_key()
        .windowed_by_sessions(SessionWindows::of_gap(10 * MINUTE_MS).grace(2 * MINUTE_MS))
        .emit_strategy(EmitStrategy::OnWindowClose)
        .reduce(&Materialized::as_("heat", Utf8, I64Be), |highest, tenths| *highest.max(tenths));
    WindowedFlow::of(builder, &sessions, "heat_sessions")
}

/// The stretches that are over, in the order of their end.
fn run(flow: &WindowedFlow, input: &str) -> Result<Table, BadLine> {
    let driver = TopologyTestDriver::new(&flow.topology);
    for line in support::lines(input) {
        let [minute, sensor, degrees] = line.words(FORM)?;
        let minute: u32 = line.parsed(minute, "MINUTE is a whole number, such as 7")?;
        let degrees: f64 = line.parsed(degrees, "DEGREES is a number, such as 34.5")?;
        let tenths = (degrees * 10.0).round() as i64;
        driver.input(&readings()).pipe_at(sensor, &tenths, i64::from(minute) * MINUTE_MS);
    }
    let row = |(sensor, window, tenths): (String, Window, i64)| {
        let (from, to) = (window.start / MINUTE_MS, window.end / MINUTE_MS);
        let highest = format!("{}.{} °C", tenths / 10, tenths % 10);
        vec![sensor, from.to_string(), to.to_string(), highest]
    };
    let rows = flow.read(&driver).into_iter().map(row).collect();
    let head = vec!["sensor", "from minute", "to minute", "highest"];
    Ok(Table { head, rows, notes: Vec::new() })
}

fn main() -> ExitCode {
    let flow = heat().expect("the flow is valid: a test builds it");
    support::main(&ABOUT, &flow.topology, |input| run(&flow, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_told_once_when_it_is_over() {
        let table = run(&heat().unwrap(), ABOUT.sample).unwrap();
        assert_eq!(
            table.lines(),
            ["oven 9 9 210.0 °C", "attic 0 12 34.5 °C", "attic 40 40 32.0 °C"]
        );
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
