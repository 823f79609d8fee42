//! Random schedules, the same for the same seed.

use std::collections::BTreeMap;

use log::embedded::Operation;

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::words;

/// How often each thing happened, over all seeds.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) crashes: u32,
    pub(crate) zombies: u32,
    pub(crate) machine_crashes: u32,
    pub(crate) closings: u32,
    pub(crate) long_pauses: u32,
    /// Injected faults by call and kind.
    pub(crate) faults: BTreeMap<(Operation, &'static str), u32>,
}

impl std::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.zombies += other.zombies;
        self.machine_crashes += other.machine_crashes;
        self.closings += other.closings;
        self.long_pauses += other.long_pauses;
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

impl Events {
    pub(crate) fn all_happened(&self) -> bool {
        [self.crashes, self.zombies, self.machine_crashes, self.closings, self.long_pauses]
            .iter()
            .all(|count| *count > 0)
            // Three kinds of failure at six calls, two more at commit, late news at polls.
            && self.faults.len() == 21
    }
}

/// Appends a random record.
type Append = fn(&mut Cluster, &mut Dice);

fn append_word(cluster: &mut Cluster, dice: &mut Dice) {
    let word = WORDS[dice.below(WORDS.len() as u64) as usize];
    cluster.append_words(&[word]);
}

pub(crate) struct Schedule {
    seed: u64,
    dice: Dice,
    verbose: bool,
    pub(crate) cluster: Cluster,
    append: Append,
    events: Events,
}

const STEPS: usize = 1_500;
const WORDS: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Schedule {
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        Self::of(Cluster::new(seed, 2), seed, verbose, append_word)
    }

    pub(crate) fn of(cluster: Cluster, seed: u64, verbose: bool, append: Append) -> Self {
        let (dice, events) = (Dice::new(seed), Events::default());
        Self { seed, dice, verbose, cluster, append, events }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    fn say(&self, what: &str) {
        if self.verbose {
            println!("seed {}: {what}", self.seed);
        }
    }

    pub(crate) fn run(mut self) -> Events {
        self.cluster.faults().begin();
        for _ in 0..STEPS {
            self.one();
        }
        self.cluster.settle();
        assert_eq!(
            self.cluster.counted(),
            words::expected(self.cluster.appended()),
            "seed {}",
            self.seed
        );
        self.events.faults = self.cluster.faults().happened();
        self.events
    }

    /// One random thing.
    pub(crate) fn one(&mut self) {
        let member = self.below(self.cluster.members() as u64) as usize;
        match self.below(1_000) {
            0..=69 => {
                let count = if self.below(10) == 0 { 12 } else { 1 };
                for _ in 0..count {
                    (self.append)(&mut self.cluster, &mut self.dice);
                }
            }
            70..=299 => {
                let ms = self.below_i64(4);
                self.cluster.pass(ms);
                self.cluster.tick();
            }
            300..=309 if self.cluster.runs(member) => {
                self.say(&format!("kill -9 member {member}"));
                self.events.crashes += 1;
                self.cluster.crash(member);
            }
            310..=314 if self.cluster.runs(member) && !self.cluster.has_zombie(member) => {
                self.say(&format!("member {member} stands still"));
                self.events.zombies += 1;
                self.cluster.freeze(member);
            }
            315..=316 => {
                self.say("power loss");
                self.events.machine_crashes += 1;
                self.cluster.crash_machine();
            }
            317..=319 => {
                self.say(&format!("member {member} closes"));
                self.events.closings += 1;
                self.cluster.close(member);
            }
            320..=324 => {
                self.say("ten seconds pass");
                self.events.long_pauses += 1;
                self.cluster.pass(10_000);
                self.cluster.tick();
            }
            325..=419 if self.cluster.has_zombie(member) => self.cluster.step_zombie(member),
            _ => {
                self.cluster.step(member);
            }
        }
    }

    fn below_i64(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap_or(0)
    }
}
