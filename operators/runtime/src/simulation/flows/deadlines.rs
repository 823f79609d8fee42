//! Questions with a deadline, answered or not. Each has one outcome; one that was answered before its deadline is
//! answered, however long the answer waited to be read: a timer fires after the backlog. Before its deadline is: before any
//! member's clock showed it.

use std::collections::BTreeMap;

use log::TopicSpec;
use operators::{I64Be, Input, StreamsBuilder, Topic, Topology, Utf8};

use super::{text, topics};
use crate::simulation::cluster::Application;
use crate::simulation::run::{Scenario, Verdict};
use crate::simulation::world::World;

const DEADLINE_MS: i64 = 40;

/// See the module page.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// By number: when it was asked, and what the clock furthest ahead showed when it was first answered.
    questions: Vec<(i64, Option<i64>)>,
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new("asking");
    builder
        .stream::<str, str>(&Topic::new("questions", Utf8, Utf8))
        .state_machine::<i64, String>("open", I64Be, |_, open, input, ctx| {
            let outcome = match input {
                Input::Message(text) if text.starts_with("ask") => {
                    ctx.set(1);
                    return ctx.deadline(Some(ctx.timestamp() + DEADLINE_MS));
                }
                Input::Message(_) if open.is_some() => "answered",
                Input::Message(_) => return,
                Input::Timer(_) => "expired",
            };
            ctx.delete();
            ctx.emit(outcome.to_owned());
        })
        .to(&Topic::<str, String>::new("outcomes", Utf8, Utf8));
    builder.build().unwrap()
}

impl Deadlines {
    fn outcomes(world: &World) -> BTreeMap<String, Vec<String>> {
        let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, outcome) in world.committed("outcomes") {
            outcomes.entry(text(key)).or_default().push(text(outcome));
        }
        outcomes
    }

    fn judge(number: usize, asked: i64, answer: Option<i64>, told: &[String]) -> Option<String> {
        let late = answer.map(|at| at - asked - DEADLINE_MS);
        let right = match told {
            [] => true,
            [outcome] => match (outcome.as_str(), late) {
                ("answered", Some(_)) => true,
                ("expired", late) => late.is_none_or(|ms| ms >= 0),
                _ => false,
            },
            _ => false,
        };
        let answered =
            late.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms after the deadline"));
        (!right)
            .then(|| format!("question {number}, answered {answered}, has the outcomes {told:?}"))
    }
}

impl Scenario for Deadlines {
    fn applications(&self) -> Vec<Application> {
        vec![Application::new(topology())]
    }

    fn topics(&self) -> Vec<TopicSpec> {
        topics(&["questions", "outcomes"])
    }

    fn arrive(&mut self, world: &World, number: u64) {
        let asked = self.questions.len() as u64;
        let (what, number) = match number % 2 {
            1 if asked > 0 => ("answer", asked - 1 - (number / 2) % asked.min(6)),
            _ => ("ask", asked),
        };
        let now = world.now();
        world.append("questions", format!("k{number}").as_bytes(), what.as_bytes());
        if what == "ask" {
            self.questions.push((now, None));
        } else {
            self.questions[number as usize].1.get_or_insert(world.latest());
        }
    }

    fn check(&mut self, world: &World) -> Verdict {
        let outcomes = Self::outcomes(world);
        for (number, (asked, answer)) in self.questions.iter().enumerate() {
            let told = outcomes.get(&format!("k{number}")).map_or(&[][..], Vec::as_slice);
            if let Some(wrong) = Self::judge(number, *asked, *answer, told) {
                return Verdict::Violated(wrong);
            }
        }
        match (outcomes.len(), self.questions.len()) {
            (told, asked) if told == asked => Verdict::Settled,
            (told, asked) => {
                Verdict::Waiting(format!("{told} of {asked} questions have an outcome"))
            }
        }
    }
}
