//! Replays all cases and says which passed.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use operators::Topology;
use serde_json::Value;

use super::vectors::{Round, exists, folder, is_committed, rounds};
use super::{ACCEPTED, Case, cases};

/// Cases by fate, sorted by name.
#[derive(Default)]
struct Outcome {
    passed: Vec<&'static str>,
    /// With the first difference.
    failed: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
}

/// Replays the cases whose name contains one of `filters` (none: all) in each mode, on all cores; of each case at most
/// so many rounds.
pub(crate) fn replay<M: Copy + Debug + Sync>(
    modes: &[M],
    filters: &[String],
    rounds: usize,
    run: impl Fn(&Case, &Topology, &Round, M) -> Vec<Value> + Sync,
) -> ExitCode {
    let chosen = |case: &Case| {
        filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str()))
    };
    let cases: Vec<Case> = cases().into_iter().filter(chosen).collect();
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = exists(case.name).then(|| replay_case(case, modes, rounds, &run));
            let mut outcome = outcome.lock().unwrap();
            match result {
                None => outcome.absent.push(case.name),
                Some(Ok(())) => outcome.passed.push(case.name),
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

/// In every mode; the error names the first that differs.
fn replay_case<M: Copy + Debug>(
    case: &Case,
    modes: &[M],
    rounds_most: usize,
    run: &impl Fn(&Case, &Topology, &Round, M) -> Vec<Value>,
) -> Result<(), String> {
    let (start, mut steps) = (Instant::now(), 0);
    let topology = (case.flow)();
    for round in rounds(case.name).take(rounds_most) {
        steps += round.input.len();
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
    Ok(())
}

impl Outcome {
    fn print(mut self) -> ExitCode {
        self.passed.sort_unstable();
        self.failed.sort_unstable();
        for accepted in ACCEPTED.iter().filter(|accepted| self.passed.contains(&accepted.case)) {
            let (case, instead) = (accepted.case, accepted.instead);
            let (condition, reason) = (accepted.condition, accepted.reason);
            println!("accepted: {case} gives the output of {instead} when {condition}: {reason}");
        }
        println!("passed {}: {}", self.passed.len(), self.passed.join(", "));
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
