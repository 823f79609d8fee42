//! A deliberately broken protocol is found, and its schedule becomes short enough to read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use log::TopicSpec;
use operators::{I64Be, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::simulation::flows::Words;
use operators_runtime::simulation::{
    Application, Flow, Scenario, Verdict, World, run, shrink, simulate,
};

/// Counts in a variable instead of a store: whatever is processed again after an abort or a crash counts twice.
#[derive(Default)]
struct Forgetful(Words);

fn counting_in_memory() -> Topology {
    let counts: Arc<Mutex<BTreeMap<String, i64>>> = Arc::default();
    let builder = StreamsBuilder::new("forgetful");
    builder
        .stream::<str, str>(&Topic::new(Words::INPUT, Utf8, Utf8))
        .select_key::<str>(|_, word| word.to_owned())
        .with_key_serde(Utf8)
        .map_values(move |word| {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(word.to_owned()).or_default();
            *count += 1;
            *count
        })
        .to(&Topic::new(Words::OUTPUT, Utf8, I64Be));
    builder.build().unwrap()
}

impl Scenario for Forgetful {
    fn applications(&self) -> Vec<Application> {
        vec![Application::new(counting_in_memory())]
    }

    fn topics(&self) -> Vec<TopicSpec> {
        self.0.topics()
    }

    /// Words of one partition alone: without a store nothing puts those of several in order.
    fn arrive(&mut self, world: &World, _number: u64) {
        let same = "a";
        world.append(Words::INPUT, b"k", same.as_bytes());
        self.0.appended.push(same.to_owned());
    }

    fn check(&mut self, world: &World) -> Verdict {
        self.0.check(world)
    }
}

#[test]
fn a_broken_protocol_is_found_and_shrinks_to_a_few_steps() {
    let flow = Flow::new("forgetful", "counts in memory", Forgetful::default);
    let violation =
        (0..20).find_map(|seed| simulate(&flow, seed, 400).err()).expect("it is broken");
    let whole = violation.schedule.runs().len();
    let mut left = 0..2_000;
    let least = shrink(&flow, *violation, &mut || left.next().is_some());
    println!("{least}");
    let runs = least.schedule.runs().len();
    assert!(runs <= 6, "{runs} of {whole} steps are left:\n{least}");
    assert!(least.what.contains("`a` arrived"), "{least}");
    let again = run(&flow, &least.schedule).expect_err("the same schedule does the same");
    assert_eq!(again.what, least.what);
}
