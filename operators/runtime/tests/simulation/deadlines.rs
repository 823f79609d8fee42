//! Questions with a deadline, answered or not, while workers crash, stand still or lose their partitions.
//!
//! Each question has one outcome. One that was answered before its deadline is answered, however long the answer
//! waited to be read: a timer fires after the backlog.

use std::collections::BTreeMap;

use operators::{I64Be, Input, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::Worker;

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::flow::Flow;
use crate::schedule::Schedule;

const DEADLINE_MS: i64 = 40;
const STEPS: usize = 1_000;

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

fn flow() -> Flow {
    let prepare = Box::new(|_: &mut Worker, _, _| {});
    Flow { input: "questions", output: "outcomes", topology, prepare }
}

/// A question or an answer to any that was asked, with its time: `ask|answer <key> <ms>`.
fn append(cluster: &mut Cluster, dice: &mut Dice) {
    let asked = cluster.appended().iter().filter(|text| text.starts_with("ask")).count() as u64;
    let (what, number) = match dice.below(2) {
        1 if asked > 0 => ("answer", asked - 1 - dice.below(asked.min(6))),
        _ => ("ask", asked),
    };
    let key = format!("k{number}");
    let text = format!("{what} {key} {}", cluster.now());
    cluster.append(&key, &text);
}

/// Per key: when it was asked, and when it was first answered.
fn questions(cluster: &Cluster) -> BTreeMap<String, (i64, Option<i64>)> {
    let mut questions = BTreeMap::new();
    for text in cluster.appended() {
        let parts: Vec<&str> = text.split(' ').collect();
        let at: i64 = parts[2].parse().unwrap();
        match parts[0] {
            "ask" => {
                questions.insert(parts[1].to_owned(), (at, None));
            }
            _ => {
                questions.get_mut(parts[1]).unwrap().1.get_or_insert(at);
            }
        }
    }
    questions
}

fn outcomes(cluster: &Cluster) -> BTreeMap<String, Vec<String>> {
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, outcome) in cluster.output() {
        outcomes.entry(key).or_default().push(String::from_utf8(outcome).unwrap());
    }
    outcomes
}

#[test]
fn every_question_has_one_outcome_and_answers_in_time_count() {
    let seeds = crate::seeds();
    let verbose = seeds.len() == 1;
    let (mut answered, mut expired) = (0, 0);
    for seed in seeds {
        let cluster = Cluster::with_flow(seed, 2, Faults::random(seed), flow());
        let mut schedule = Schedule::of(cluster, seed, verbose, append);
        schedule.cluster.faults().begin();
        for _ in 0..STEPS {
            schedule.one();
        }
        let cluster = &mut schedule.cluster;
        let questions = questions(cluster);
        let settled = cluster.settle_until(|cluster| outcomes(cluster).len() == questions.len());
        let outcomes = outcomes(cluster);
        assert!(settled, "seed {seed}: {} of {}", outcomes.len(), questions.len());
        for (key, (asked, answer)) in questions {
            let [outcome] = outcomes[&key].as_slice() else {
                panic!("seed {seed}: {key} has {:?}", outcomes[&key])
            };
            match answer {
                None => assert_eq!(outcome, "expired", "seed {seed}: {key}"),
                Some(at) if at < asked + DEADLINE_MS => {
                    assert_eq!(
                        outcome, "answered",
                        "seed {seed}: {key} asked {asked}, answer {at}"
                    );
                }
                Some(_) => {}
            }
            answered += u32::from(outcome == "answered");
            expired += u32::from(outcome == "expired");
        }
    }
    println!("answered: {answered}, expired: {expired}");
    assert!(verbose || (answered > 0 && expired > 0));
}
