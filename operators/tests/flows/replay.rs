//! Replays all cases and says which passed.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use operators::Topology;
use serde_json::Value;

use super::accepted::{ACCEPTED, Expected};
use super::choice::Choice;
use super::vectors::{Round, exists, folder, is_committed, rounds, twin};
use super::{Case, cases};

/// Cases by fate, sorted by name.
#[derive(Default)]
struct Outcome {
    /// With the records that are accepted to differ from the vector's.
    passed: Vec<(&'static str, usize)>,
    /// With the first difference.
    failed: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
}

/// Replays the chosen cases in each mode, on all cores; of each case at most
/// so many rounds.
pub(crate) fn replay<M: Copy + Debug + Sync>(
    modes: &[M],
    choice: &Choice,
    rounds: usize,
    run: impl Fn(&Case, &Topology, &Round, M) -> Vec<Value> + Sync,
) -> ExitCode {
    let cases: Vec<Case> = cases().into_iter().filter(|case| choice.takes(case.name)).collect();
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = exists(case.name).then(|| replay_case(case, modes, rounds, &run));
            let mut outcome = outcome.lock().unwrap();
            match result {
                None => outcome.absent.push(case.name),
                Some(Ok(excused)) => outcome.passed.push((case.name, excused)),
                Some(Err(difference)) => outcome.failed.push((case.name, difference)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    outcome.into_inner().unwrap().print()
}

/// In every mode; the error names the first that differs. Gives the number of records that are accepted to differ.
fn replay_case<M: Copy + Debug>(
    case: &Case,
    modes: &[M],
    rounds_most: usize,
    run: &impl Fn(&Case, &Topology, &Round, M) -> Vec<Value>,
) -> Result<usize, String> {
    let (start, mut steps, mut excused) = (Instant::now(), 0, 0);
    let topology = (case.flow)();
    if let Some(twin) = twin(case.name).filter(|twin| !exists(twin)) {
        return Err(format!("it must give the output of {twin}, which has no vectors here"));
    }
    for round in rounds(case.name).take(rounds_most) {
        steps += round.input.len();
        excused += round.excused;
        for &mode in modes {
            let actual = catch_unwind(AssertUnwindSafe(|| run(case, &topology, &round, mode)))
                .map_err(|_| format!("{mode:?}: panicked (message above)"))?;
            round.compare(&actual).map_err(|difference| format!("{mode:?}, {difference}"))?;
        }
    }
    if steps == 0 {
        return Err("its vectors have no steps".to_owned());
    }
    println!("{}: {steps} steps, {} modes, {:.1?}", case.name, modes.len(), start.elapsed());
    Ok(excused)
}

impl Outcome {
    fn print(mut self) -> ExitCode {
        self.passed.sort_unstable();
        self.failed.sort_unstable();
        for (case, excused) in &self.passed {
            if let Some(accepted) = ACCEPTED.iter().find(|accepted| accepted.case == *case) {
                let held_against = match accepted.expected {
                    Expected::OutputOf(instead) => format!("the output of {instead}"),
                    Expected::Corrected(_) => "its vector, but for those".to_owned(),
                };
                println!(
                    "accepted: {case}: {excused} records, when {}. Matched is {held_against}. {}",
                    accepted.condition, accepted.reason
                );
            }
        }
        let passed: Vec<&str> = self.passed.iter().map(|(case, _)| *case).collect();
        println!("passed {}: {}", passed.len(), passed.join(", "));
        if !self.absent.is_empty() {
            println!("no vectors for {}: {}", self.absent.len(), self.absent.join(", "));
        }
        println!("failed {}", self.failed.len());
        for (case, difference) in &self.failed {
            println!("  {case}: {difference}");
        }
        // No case of a name is no failure: `cargo test <name>` asks all tests for it.
        let replayed = self.passed.len() + self.failed.len();
        let nothing = replayed == 0 && !self.absent.is_empty();
        if nothing {
            println!("nothing was replayed: {} has no vectors of such cases", folder().display());
        }
        // The committed copy has vectors of all cases; a folder of one's own may have some.
        let missing = !self.absent.is_empty() && is_committed();
        if nothing || missing || !self.failed.is_empty() {
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}
