//! A table join with everything in the log already: whatever a poll brings
//! first, a record waits for the earlier rows of the other input (KIP-695).

use operators::{StreamsBuilder, Topic, Topology, Utf8};

use crate::Scene;

const ROWS: usize = 100;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("enrich");
    let names = builder.table("names", &Topic::new("names", Utf8, Utf8));
    builder
        .stream::<str, str>(&Topic::new("clicks", Utf8, Utf8))
        .join("named", &names, |click: &str, name: &str| format!("{click} by {name}"))
        .with_value_serde(Utf8)
        .to(&Topic::new("out", Utf8, Utf8));
    builder.build().unwrap()
}

#[test]
fn a_backlog_is_joined_in_the_order_of_its_times() {
    let scene = Scene::new(&[("clicks", 1), ("names", 1), ("out", 1)]);
    let user = |number| format!("user-{number}");
    scene.append(("clicks", 0), 2_000, (0..ROWS).map(user));
    // The other way round, so that taking turns doesn't help.
    scene.append(("names", 0), 1_000, (0..ROWS).rev().map(user));
    scene.run(topology(), |scene| scene.values("out", 0).len() == ROWS);
}
