//! Counts words that arrive under other keys. For each word the committed records are 1, 2, …, n without hole or repeat,
//! n being how often the word was appended.

use std::collections::BTreeMap;

use log::TopicSpec;
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};

use super::{text, topics};
use crate::simulation::cluster::Application;
use crate::simulation::run::{Scenario, Verdict};
use crate::simulation::world::World;

/// See the module page.
#[derive(Debug, Default)]
pub struct Words {
    /// What arrived, in order.
    pub appended: Vec<String>,
}

/// Per word, its counts in order.
type Counts = BTreeMap<String, Vec<i64>>;

impl Words {
    /// What arrives.
    pub const INPUT: &'static str = "lines";
    /// What comes out.
    pub const OUTPUT: &'static str = "counts";

    /// The flow.
    #[must_use]
    pub fn topology() -> Topology {
        let builder = StreamsBuilder::new("word-count");
        let lines = builder.stream::<str, str>(&Topic::new(Self::INPUT, Utf8, Utf8));
        lines
            .select_key::<str>(|_, word| word.to_owned())
            .group_by_key()
            .count(&Materialized::as_("words", Utf8, I64Be))
            .to_stream()
            .to(&Topic::new(Self::OUTPUT, Utf8, I64Be));
        builder.build().unwrap()
    }

    /// Appends words under keys that say nothing about them.
    pub fn append(&mut self, world: &World, words: &[&str]) {
        for word in words {
            let key = format!("k{}", self.appended.len());
            world.append(Self::INPUT, key.as_bytes(), word.as_bytes());
            self.appended.push((*word).to_owned());
        }
    }

    /// The counts that must be committed once all is done.
    #[must_use]
    pub fn expected(&self) -> Counts {
        let mut counts = Counts::new();
        for word in &self.appended {
            let of_word = counts.entry(word.clone()).or_default();
            of_word.push(of_word.len() as i64 + 1);
        }
        counts
    }

    /// The counts that are committed.
    #[must_use]
    pub fn counted(world: &World) -> Counts {
        let mut counts = Counts::new();
        for (word, count) in world.committed(Self::OUTPUT) {
            let count = i64::from_be_bytes(count.try_into().unwrap());
            counts.entry(text(word)).or_default().push(count);
        }
        counts
    }
}

impl Scenario for Words {
    fn applications(&self) -> Vec<Application> {
        vec![Application::new(Self::topology())]
    }

    fn topics(&self) -> Vec<TopicSpec> {
        topics(&[Self::INPUT, Self::OUTPUT])
    }

    fn arrive(&mut self, world: &World, number: u64) {
        let words = ["a", "b", "c", "d", "e"];
        self.append(world, &[words[number as usize % words.len()]]);
    }

    fn check(&mut self, world: &World) -> Verdict {
        let (counted, expected) = (Self::counted(world), self.expected());
        for (word, counts) in &counted {
            let due = expected.get(word).map_or(&[][..], Vec::as_slice);
            if !due.starts_with(counts) {
                let times = due.len();
                return Verdict::Violated(format!(
                    "`{word}` arrived {times} times and was counted {counts:?}"
                ));
            }
        }
        if counted == expected {
            return Verdict::Settled;
        }
        Verdict::Waiting(format!("{counted:?} instead of {expected:?}"))
    }
}
