//! Page views by region: a stream joined with a table, counted per minute.
//! `cargo run -p operators --example page_views_by_region`.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::process::ExitCode;

use operators::{
    I64Be, Materialized, StreamsBuilder, TimeWindows, Topic, TopologyError, TopologyTestDriver,
    Utf8,
};
use support::windowed::WindowedFlow;
use support::{About, BadLine, Table};

const ABOUT: About = About {
    name: "page_views_by_region",
    what: "Counts page views per region and minute; a view may come 10 s late.",
    lines: "  user NAME REGION          where a user lives from now on\n  \
              view SECOND NAME PAGE     a page view; SECOND counts from the start",
    sample: "\
user ada europe
user bob asia
view 5 ada /home
view 12 bob /home
view 20 ada /cart
# ada moves: views from here on count for america
user ada america
view 61 ada /home
# five seconds late, within the grace
view 56 bob /cart
view 75 bob /home
# twenty seconds late: the first minute is over
view 55 bob /late
# nobody knows where eve lives
view 80 eve /home
",
};

const FORM: &str = "write `user NAME REGION` or `view SECOND NAME PAGE`";
const MINUTE_MS: i64 = 60_000;

/// User → page.
fn views() -> Topic<str, str> {
    Topic::new("views", Utf8, Utf8)
}

/// User → region.
fn regions() -> Topic<str, str> {
    Topic::new("regions", Utf8, Utf8)
}

/// The counts' store; its codecs are those of the result's topic.
fn counts() -> Materialized<str, i64> {
    Materialized::as_("views-by-region", Utf8, I64Be)
}

/// Region and minute → views.
fn page_views() -> Result<WindowedFlow, TopologyError> {
    let builder = StreamsBuilder::new("page-views");
    let users = builder.table("users", &regions());
    let by_region = builder
        .stream(&views())
        .left_join("with-region", &users, |_page, region| region.unwrap_or("unknown").to_owned())
        .with_value_serde(Utf8)
        .group_by::<str>(|_user, region| region.clone())
        .windowed_by(TimeWindows::of_size(MINUTE_MS).grace(10_000))
        .count(&counts());
    WindowedFlow::of(builder, &by_region, "views_by_region")
}

/// Views per minute and region: the last count of each window.
fn run(flow: &WindowedFlow, input: &str) -> Result<Table, BadLine> {
    let driver = TopologyTestDriver::new(&flow.topology);
    for line in support::lines(input) {
        match line.text.split_whitespace().next() {
            Some("user") => {
                let [_, name, region] = line.words(FORM)?;
                driver.input(&regions()).pipe(name, region);
            }
            Some("view") => {
                let [_, second, name, page] = line.words(FORM)?;
                let second: u32 = line.parsed(second, "SECOND is a whole number, such as 75")?;
                driver.input(&views()).pipe_at(name, page, i64::from(second) * 1000);
            }
            _ => return Err(line.bad("neither a user nor a view", FORM)),
        }
    }
    let mut last = BTreeMap::new();
    for (region, window, views) in flow.read(&driver) {
        last.insert((window.start / MINUTE_MS, region), views);
    }
    let row = |((minute, region), views): ((i64, String), i64)| {
        vec![minute.to_string(), region, views.to_string()]
    };
    let late = driver.dropped().late;
    Ok(Table {
        head: vec!["minute", "region", "views"],
        rows: last.into_iter().map(row).collect(),
        notes: vec![format!("views that came too late: {late}")],
    })
}

fn main() -> ExitCode {
    let flow = page_views().expect("the flow is valid: a test builds it");
    support::main(&ABOUT, &flow.topology, |input| run(&flow, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_count_for_the_region_their_user_lived_in() {
        let table = run(&page_views().unwrap(), ABOUT.sample).unwrap();
        assert_eq!(
            table.lines(),
            ["0 asia 2", "0 europe 2", "1 america 1", "1 asia 1", "1 unknown 1"]
        );
        assert_eq!(table.notes, ["views that came too late: 1"]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_do() {
        let error = |input| run(&page_views().unwrap(), input).unwrap_err().to_string();
        assert_eq!(
            error("user ada europe\nview soon ada /home"),
            "line 2: `soon` can't be read; SECOND is a whole number, such as 75"
        );
        assert!(error("view 1 ada").starts_with("line 1: 3 words instead of 4; write"));
        assert!(error("look 1 ada /home").starts_with("line 1: neither a user nor a view"));
    }
}
