//! Failing calls of the producer: which, when, and how often they happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use log::embedded::{Fault, FaultPlan, Operation};

use crate::dice::Dice;

type Decide = dyn FnMut(Operation) -> Option<Fault> + Send;

/// Faults of one cluster; they outlive its log.
pub(crate) struct Faults {
    on: Arc<AtomicBool>,
    decide: Arc<Mutex<Box<Decide>>>,
    happened: Arc<Mutex<BTreeMap<(Operation, &'static str), u32>>>,
}

impl Faults {
    /// One call of the producer in 25 fails, in any way that call can; now and then nobody
    /// hears the group's news for some polls.
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xFA17);
        let mut unaware = 0;
        Self::deciding(move |operation| {
            if operation == Operation::Poll {
                if unaware == 0 && dice.below(50) == 0 {
                    unaware = dice.below(60);
                }
                return (unaware > 0).then(|| {
                    unaware -= 1;
                    Fault::Unaware
                });
            }
            let may_fail = matches!(
                operation,
                Operation::Init
                    | Operation::Begin
                    | Operation::SendOffsets
                    | Operation::Flush
                    | Operation::Commit
                    | Operation::Abort
            );
            if !may_fail || dice.below(25) != 0 {
                return None;
            }
            let faults = [
                Fault::Retriable,
                Fault::Abort,
                Fault::Fenced,
                Fault::UnknownNotDone,
                Fault::UnknownDone,
            ];
            // Only the end of a transaction can leave its outcome open.
            let kinds = if operation == Operation::Commit { faults.len() } else { 3 };
            faults.get(dice.below(kinds as u64) as usize).copied()
        })
    }

    pub(crate) fn deciding(
        decide: impl FnMut(Operation) -> Option<Fault> + Send + 'static,
    ) -> Self {
        Self {
            on: Arc::default(),
            decide: Arc::new(Mutex::new(Box::new(decide))),
            happened: Arc::default(),
        }
    }

    pub(crate) fn begin(&self) {
        self.on.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    /// How often each fault was injected so far.
    pub(crate) fn happened(&self) -> BTreeMap<(Operation, &'static str), u32> {
        self.happened.lock().unwrap().clone()
    }

    /// Tells how many there were, whoever holds the cluster.
    pub(crate) fn counter(&self) -> impl Fn() -> u32 + use<> {
        let happened = self.happened.clone();
        move || happened.lock().unwrap().values().sum()
    }

    /// For a log that is opened, the first or the next one.
    pub(crate) fn plan(&self) -> FaultPlan {
        let (on, decide) = (self.on.clone(), self.decide.clone());
        let happened = self.happened.clone();
        FaultPlan::deciding(move |operation, _| {
            if !on.load(Ordering::SeqCst) {
                return None;
            }
            let fault = (decide.lock().unwrap())(operation)?;
            *happened.lock().unwrap().entry((operation, name(fault))).or_default() += 1;
            Some(fault)
        })
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Retriable => "retriable",
        Fault::Abort => "abort",
        Fault::Fenced => "fenced",
        Fault::Refused => "refused",
        Fault::UnknownNotDone => "unknown, not done",
        Fault::UnknownDone => "unknown, done",
        Fault::Unaware => "unaware",
        Fault::CrashBefore | Fault::CrashAfter => "crash",
    }
}
