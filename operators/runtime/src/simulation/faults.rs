//! Failing calls of the log's clients: which, when, and how often they happened.
//!
//! Invariant: a fault comes from the schedule (armed there) or from a test's own rule, never from chance, so that a
//! schedule without one of its faults is still a schedule.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use log::embedded::{Fault, FaultPlan, Operation};

type Decide = dyn FnMut(Operation) -> Option<Fault> + Send;

/// How often each fault was injected, by call and kind.
pub type Happened = BTreeMap<(Operation, &'static str), u32>;

/// Faults of one cluster; they outlive its log. Clones are the same faults.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    on: bool,
    decide: Box<Decide>,
    armed: BTreeMap<Operation, VecDeque<(Fault, u32)>>,
    happened: Happened,
}

impl Default for Faults {
    fn default() -> Self {
        Self::deciding(|_| None)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.happened()).finish()
    }
}

impl Faults {
    /// A rule that is asked about each call for which nothing is armed.
    pub fn deciding(decide: impl FnMut(Operation) -> Option<Fault> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            on: false,
            decide: Box::new(decide),
            armed: BTreeMap::new(),
            happened: BTreeMap::new(),
        })))
    }

    /// The next `times` calls of this kind fail, behind those that are to fail already.
    pub fn arm(&self, operation: Operation, fault: Fault, times: u32) {
        let armed = &mut self.0.lock().unwrap().armed;
        armed.entry(operation).or_default().push_back((fault, times));
    }

    /// Faults happen from now on.
    pub fn begin(&self) {
        self.0.lock().unwrap().on = true;
    }

    /// None happens any more; what is armed is forgotten.
    pub fn end(&self) {
        let state = &mut *self.0.lock().unwrap();
        state.on = false;
        state.armed.clear();
    }

    /// Runs without faults, for somebody who only looks.
    pub fn without<T>(&self, look: impl FnOnce() -> T) -> T {
        let on = std::mem::take(&mut self.0.lock().unwrap().on);
        let seen = look();
        self.0.lock().unwrap().on = on;
        seen
    }

    /// How often each fault was injected so far.
    #[must_use]
    pub fn happened(&self) -> Happened {
        self.0.lock().unwrap().happened.clone()
    }

    /// How many were injected so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.lock().unwrap().happened.values().sum()
    }

    /// For a log that is opened, the first or the next one.
    #[must_use]
    pub fn plan(&self) -> FaultPlan {
        let faults = self.clone();
        FaultPlan::deciding(move |operation, _| {
            let state = &mut *faults.0.lock().unwrap();
            if !state.on {
                return None;
            }
            let fault = state.armed(operation).or_else(|| (state.decide)(operation))?;
            *state.happened.entry((operation, name(fault))).or_default() += 1;
            Some(fault)
        })
    }
}

impl State {
    fn armed(&mut self, operation: Operation) -> Option<Fault> {
        let queue = self.armed.get_mut(&operation)?;
        let (fault, times) = queue.front_mut()?;
        let fault = *fault;
        *times = times.saturating_sub(1);
        if *times == 0 {
            queue.pop_front();
        }
        Some(fault)
    }
}

/// A fault in words.
pub(super) fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Retriable => "is lost on its way",
        Fault::Abort => "fails the transaction",
        Fault::Fenced => "is fenced",
        Fault::Refused => "is refused",
        Fault::UnknownNotDone => "has an unknown outcome and is not done",
        Fault::UnknownDone => "has an unknown outcome and is done",
        Fault::AnswerLost => "is done but its answer is lost",
        Fault::Torn => "delivers a part",
        Fault::Early => "delivers at once",
        Fault::Late => "comes late",
        Fault::Unaware => "hears no news of the group",
        Fault::Twice => "delivers its records again the next time",
        Fault::CrashBefore | Fault::CrashAfter => "crashes the log",
    }
}
