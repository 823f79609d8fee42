//! What happens in a simulated run, as data: made of a seed, recorded, taken apart by the shrinker, printed.
//!
//! Invariant: every step means something on its own (a member that doesn't run is not killed, a fault waits for its
//! call), so that any part of a schedule is a schedule.

use std::fmt;

use log::embedded::{Fault, Operation};

use super::dice::Dice;
use super::faults;
use crate::CommitStage;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something arrives from outside; the number says what.
    Arrive(u64),
    /// A service outside does something; the number says what.
    Outside(u64),
    /// A worker of a member does one step; a member that doesn't run is started.
    Work {
        /// Which member.
        member: usize,
        /// Which of its workers; taken modulo their number.
        worker: usize,
    },
    /// A worker steps until its next one is this phase of a commit, or for a while.
    WorkUntil {
        /// Which member.
        member: usize,
        /// Which of its workers.
        worker: usize,
        /// The phase it is about to do.
        stage: CommitStage,
    },
    /// The zombies of a member do one step each.
    Zombie(usize),
    /// The clock jumps ahead by milliseconds, and the log does what is due.
    Pass(i64),
    /// The clock of one member jumps ahead of everybody else's.
    Jump {
        /// Which member.
        member: usize,
        /// By how many milliseconds.
        ms: i64,
    },
    /// kill -9 of a member.
    Kill(usize),
    /// A member stands still and becomes its successor's zombie.
    Freeze(usize),
    /// The machine of a member is lost with its files.
    Lose(usize),
    /// Everything loses its power at once.
    PowerLoss,
    /// A member closes in order.
    Close(usize),
    /// The next calls of a kind fail.
    Fault {
        /// Of whom.
        operation: Operation,
        /// How.
        fault: Fault,
        /// How many.
        times: u32,
    },
}

/// The steps of one run, with what else decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was made of; the members' settings follow from it too.
    pub seed: u64,
    /// How many members the group has.
    pub members: usize,
    /// In order.
    pub steps: Vec<Step>,
}

/// Longer than a silent member stays in its group, but shorter than its transaction stays open.
const SESSION_IS_OVER: i64 = 9_000;
/// Longer than a transaction stays open.
const TRANSACTION_IS_OVER: i64 = 10_000;
/// Steps in which the others take over what a member had that stands still.
const TAKE_OVER: usize = 80;

/// How far a clock jumps ahead.
const JUMPS: [i64; 6] = [1, 7, 150, SESSION_IS_OVER, 300_000, 3_600_000];

const STAGES: [CommitStage; 5] = [
    CommitStage::Stage,
    CommitStage::Offsets,
    CommitStage::Flush,
    CommitStage::End,
    CommitStage::Apply,
];

impl Schedule {
    /// The schedule of a seed: this many steps, for members with this many workers each.
    #[must_use]
    pub fn random(seed: u64, steps: usize, workers: usize) -> Self {
        let mut dice = Dice::new(seed);
        let members = 1 + dice.choose(&[1, 1, 1, 1, 2, 3]);
        let mut made = Vec::with_capacity(steps);
        // With wrong clocks a deadline is a matter of opinion, so most schedules go without.
        let clocks_differ = seed % 5 < 2;
        while made.len() < steps {
            if clocks_differ && dice.below(150) == 0 {
                let member = dice.below(members as u64) as usize;
                made.push(Step::Jump { member, ms: dice.choose(&JUMPS) });
            }
            Self::more(&mut dice, members, workers, &mut made);
        }
        made.truncate(steps);
        Self { seed, members, steps: made }
    }

    fn more(dice: &mut Dice, members: usize, workers: usize, made: &mut Vec<Step>) {
        let member = dice.below(members as u64) as usize;
        let worker = dice.below(workers as u64) as usize;
        match dice.below(1_000) {
            0..=69 => {
                let count = if dice.below(10) == 0 { 12 } else { 1 };
                made.extend((0..count).map(|_| Step::Arrive(dice.below(1 << 30))));
            }
            70..=239 => made.push(Step::Pass(dice.below(4) as i64)),
            240..=309 => made.push(Step::Outside(dice.below(1 << 30))),
            310..=339 => made.push(random_fault(dice)),
            340..=419 => made.push(Step::Zombie(member)),
            420..=434 => made.push(disruption(dice, member)),
            435..=438 => stall(dice, members, (member, worker), workers, made),
            439..=448 => {
                // At the worst moment: in the middle of a commit, beside another in the middle of its own.
                made.push(Step::WorkUntil { member, worker, stage: dice.choose(&STAGES) });
                if dice.below(2) == 0 {
                    made.push(random_fault(dice));
                }
                let whom = dice.below(members as u64) as usize;
                made.push(disruption(dice, whom));
            }
            _ => made.push(Step::Work { member, worker }),
        }
    }

    /// The steps with repetitions counted: how long a person would call it.
    #[must_use]
    pub fn runs(&self) -> Vec<(Step, usize)> {
        let mut runs: Vec<(Step, usize)> = Vec::new();
        for step in &self.steps {
            match runs.last_mut() {
                Some((last, count)) if last == step => *count += 1,
                _ => runs.push((*step, 1)),
            }
        }
        runs
    }
}

/// A worker stands still on its way to a commit until the others have its tasks, and goes on as if nothing had been. Nobody has
/// fenced its transactional id, and its transaction is open: only what the group knows can refuse it.
fn stall(
    dice: &mut Dice,
    members: usize,
    (member, worker): (usize, usize),
    workers: usize,
    made: &mut Vec<Step>,
) {
    made.push(Step::WorkUntil { member, worker, stage: dice.choose(&STAGES) });
    made.push(Step::Pass(SESSION_IS_OVER));
    for _ in 0..TAKE_OVER {
        let other = (member + 1 + dice.below(members.max(2) as u64 - 1) as usize) % members;
        let worker = if dice.below(2) == 0 { worker } else { dice.below(workers as u64) as usize };
        made.push(Step::Work { member: other, worker });
    }
    made.extend((0..4).map(|_| Step::Work { member, worker }));
}

fn disruption(dice: &mut Dice, member: usize) -> Step {
    match dice.below(20) {
        0..=6 => Step::Kill(member),
        7..=10 => Step::Freeze(member),
        11 => Step::Lose(member),
        12..=13 => Step::PowerLoss,
        14..=15 => Step::Close(member),
        16..=18 => Step::Pass(dice.choose(&[SESSION_IS_OVER, TRANSACTION_IS_OVER])),
        _ => Step::Pass(3_600_000),
    }
}

/// One of the failures that a call can have.
fn random_fault(dice: &mut Dice) -> Step {
    let (operation, kinds, most): (_, &[Fault], _) = match dice.below(10) {
        0 => (Operation::Init, &[Fault::Retriable, Fault::AnswerLost, Fault::Abort], 1),
        // No client asks anybody to begin: there is no answer to lose.
        1 => (Operation::Begin, &[Fault::Retriable, Fault::Fenced], 1),
        2 => (
            Operation::SendOffsets,
            &[Fault::Retriable, Fault::AnswerLost, Fault::Abort, Fault::Fenced],
            1,
        ),
        3 => (
            Operation::Flush,
            &[Fault::Retriable, Fault::AnswerLost, Fault::Abort, Fault::Fenced, Fault::Torn],
            1,
        ),
        // Only the end of a transaction can leave its outcome open.
        4 | 5 => (
            Operation::Commit,
            &[
                Fault::Retriable,
                Fault::Abort,
                Fault::Fenced,
                Fault::UnknownNotDone,
                Fault::UnknownDone,
            ],
            1,
        ),
        6 => (Operation::Abort, &[Fault::Retriable, Fault::AnswerLost, Fault::Fenced], 1),
        7 => (Operation::Send, &[Fault::Early], 4),
        8 => (
            dice.choose(&[Operation::Marker, Operation::Marker, Operation::OffsetMarker]),
            &[Fault::Late],
            200,
        ),
        _ => {
            (Operation::Poll, &[Fault::Unaware, Fault::Unaware, Fault::Twice, Fault::Retriable], 60)
        }
    };
    let fault = dice.choose(kinds);
    let most = if fault == Fault::Retriable { 2 } else { most };
    Step::Fault { operation, fault, times: 1 + dice.below(most) as u32 }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrive(number) => write!(f, "arrival {number}"),
            Self::Outside(number) => write!(f, "the service outside acts ({number})"),
            Self::Work { member, worker } => write!(f, "member {member}: worker {worker} steps"),
            Self::WorkUntil { member, worker, stage } => {
                write!(f, "member {member}: worker {worker} steps until it is about to {stage:?}")
            }
            Self::Zombie(member) => write!(f, "the zombie of member {member} steps"),
            Self::Pass(ms) => write!(f, "{ms} ms pass"),
            Self::Jump { member, ms } => {
                write!(f, "the clock of member {member} jumps ahead by {ms} ms")
            }
            Self::Kill(member) => write!(f, "kill -9 member {member}"),
            Self::Freeze(member) => write!(f, "member {member} stands still; its successor starts"),
            Self::Lose(member) => write!(f, "member {member} loses its machine and its files"),
            Self::PowerLoss => f.write_str("power loss"),
            Self::Close(member) => write!(f, "member {member} closes"),
            Self::Fault { operation, fault, times } => {
                write!(f, "from now on {operation:?} {}", faults::name(*fault))?;
                if *times > 1 { write!(f, ", {times} times") } else { f.write_str(", once") }
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} members, seed {}", self.members, self.seed)?;
        for (number, (step, count)) in self.runs().into_iter().enumerate() {
            write!(f, "{:>4}. {step}", number + 1)?;
            if count > 1 { writeln!(f, ", {count} times")? } else { writeln!(f)? }
        }
        f.write_str("      then everybody runs without faults until nothing is left to do")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_schedule_every_time_and_another_seed_another() {
        let made = Schedule::random(7, 500, 3);
        assert_eq!(made, Schedule::random(7, 500, 3));
        assert_eq!(made.steps.len(), 500);
        assert_ne!(made.steps, Schedule::random(8, 500, 3).steps);
    }
}
