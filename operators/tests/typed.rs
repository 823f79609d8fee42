//! The by-reference typed DSL end to end: filter, map, merge, join, state machine.

use operators::{I64Be, Input, StreamsBuilder, Topic, TopologyTestDriver, Utf8};

fn text(name: &str) -> Topic<str, str> {
    Topic::new(name, Utf8, Utf8)
}

fn numbers(name: &str) -> Topic<str, i64> {
    Topic::new(name, Utf8, I64Be)
}

#[test]
fn a_flow_of_borrowed_records_reads_top_to_bottom() {
    let builder = StreamsBuilder::new("typed");
    let names = builder.table("names", &text("names"));
    let small = builder.stream(&numbers("small")).filter(|_, n| *n > 0);
    let large = builder.stream(&numbers("large")).map_values(|n| n * 1000);
    small
        .merge(&large)
        .state_machine::<i64, i64>("totals", I64Be, |_, total, input, ctx| match input {
            Input::Message(n) => {
                let total = total.unwrap_or(&0) + n;
                ctx.set(total);
                ctx.emit(total);
                ctx.deadline(Some(ctx.now() + 1000));
            }
            Input::Timer(_) => {
                ctx.emit(-total.unwrap_or(&0));
                ctx.delete();
            }
        })
        .join("named", &names, |total, name| format!("{name}={total}"))
        .to(&Topic::new("out", Utf8, Utf8));
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().len(), 1);

    let driver = TopologyTestDriver::new(&topology);
    driver.input(&text("names")).pipe("k", "kay");
    driver.input(&numbers("small")).pipe("k", &-5);
    driver.input(&numbers("small")).pipe("k", &5);
    driver.input(&numbers("large")).pipe("k", &2);
    let mut out = driver.output(&text("out"));
    assert_eq!(out.read_values(), ["kay=5", "kay=2005"]);

    driver.restart();
    assert_eq!(driver.machine_state::<str, i64>("totals", Utf8, I64Be, "k"), Some(2005));
    driver.advance_wall_clock(1000);
    assert_eq!(out.read_values(), ["kay=-2005"]);
    driver.advance_wall_clock(10_000);
    assert_eq!(driver.machine_state::<str, i64>("totals", Utf8, I64Be, "k"), None);
    assert!(out.is_empty() && driver.rows("totals-timers").is_empty());
}

#[test]
fn wrong_types_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
