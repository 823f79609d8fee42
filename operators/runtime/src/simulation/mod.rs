//! Many workers on the in-memory log under one seed (feature `simulation`): what happens is a [`Schedule`] made of the
//! seed, the invariants are the [`Scenario`]'s, a violated schedule is shortened to a minimal one.
//!
//! ```
//! use operators_runtime::simulation::{flows, shrink, simulate};
//!
//! let words = flows::words();
//! match simulate(&words, 7, 300) {
//!     Ok(events) => println!("nothing violated, {:?}", events.disruptions),
//!     Err(violation) => {
//!         let mut runs = 0..500;
//!         println!("{}", shrink(&words, *violation, &mut || runs.next().is_some()));
//!     }
//! }
//! ```
//!
//! | a schedule has | as |
//! |---|---|
//! | crashes at any step, and between any two phases of a commit | `Kill`, `PowerLoss`, `Lose`, `WorkUntil` before them |
//! | torn batches | `Fault::Torn`, `Early`: a part of a transaction is in the log when it dies |
//! | lost and doubled deliveries | `Fault::Retriable` and `UnknownNotDone` (the request is lost), `AnswerLost` and `UnknownDone` (it is done, and repeated), `Twice` (a client hands a record out again) |
//! | clock jumps | `Pass` of nine or ten seconds or an hour; in two of five schedules `Jump`: the clock of one member goes ahead of the others', by milliseconds or by an hour |
//! | rebalances at the worst moment | `Close`, `Freeze`, jumps beyond the session while others are in the middle of a commit |
//! | members unaware of their loss | `Fault::Unaware`, zombies of frozen members, members that stand still in a commit and go on |
//! | standbys, and their take-over by a task | none, one, or one on every other member, by the seed |
//! | stale reads | after each step every standby is asked for all it has (`stale`): nothing uncommitted may be shown |
//! | markers that come late | `Fault::Late` |
//!
//! Invariant: a run depends on its schedule alone; the same schedule does the same every time. The log keeps open
//! transactions in the log, as Kafka does. Of this crate it uses what everybody may use.

#![expect(clippy::unwrap_used, reason = "what panics in a run is a violation")]

pub mod cluster;
pub mod dice;
pub mod faults;
pub mod flows;
pub mod run;
pub mod schedule;
pub mod shrink;
mod stale;
pub mod world;

use std::fmt;

pub use cluster::{Application, Cluster};
pub use dice::Dice;
pub use faults::Faults;
pub use run::{Events, Kind, Scenario, Verdict, Violation, run};
pub use schedule::{Schedule, Step};
pub use shrink::shrink;
pub use world::World;

type Make = Box<dyn Fn() -> Box<dyn Scenario> + Send + Sync>;

/// A flow that can be simulated: what makes a new scenario for every run.
pub struct Flow {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    make: Make,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flow").field(&self.name).finish()
    }
}

impl Flow {
    /// A flow of scenarios that `make` makes.
    pub fn new<S: Scenario + 'static>(
        name: &'static str,
        about: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self { name, about, make: Box::new(move || Box::new(make())) }
    }

    /// One for a run.
    #[must_use]
    pub fn scenario(&self) -> Box<dyn Scenario> {
        (self.make)()
    }
}

/// Runs the schedule of a seed.
///
/// # Errors
/// What was violated, with the whole schedule; [`shrink()`] makes it short.
pub fn simulate(flow: &Flow, seed: u64, steps: usize) -> Result<Events, Box<Violation>> {
    let workers = flow.scenario().applications().len();
    run(flow, &Schedule::random(seed, steps, workers))
}
