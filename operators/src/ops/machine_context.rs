//! What a state machine's step sees and says.
//!
//! Invariant: a step only collects effects; they are carried out after it
//! returned without failure.

use crate::failure::BoxError;
use crate::headers::Headers;
use crate::observed::Observation;

/// Why the step is called.
#[derive(Debug)]
pub enum Input<'a, V: ?Sized> {
    /// A record of the key.
    Message(&'a V),
    /// The key's deadline, due at this time (ms since 1970). It is gone by now.
    Timer(i64),
}

/// What becomes of the key's state.
pub(crate) enum Change<S> {
    Keep,
    Set(S),
    Delete,
}

/// A result on its way out.
#[derive(Debug)]
pub struct Emit<O> {
    pub(crate) value: O,
    pub(crate) timestamp: i64,
    /// None: those of the record at work.
    pub(crate) headers: Option<Headers>,
}

impl<O> Emit<O> {
    /// Sets the result's time (ms since 1970); it is the task's clock otherwise.
    pub fn at(&mut self, timestamp: i64) -> &mut Self {
        self.timestamp = timestamp;
        self
    }

    /// Sets a header. The first call leaves those of the record at work behind; to keep them, begin
    /// with [`Self::headers`].
    pub fn header(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.headers.get_or_insert_default().set(name, value);
        self
    }

    /// Sets all headers.
    pub fn headers(&mut self, headers: Headers) -> &mut Self {
        self.headers = Some(headers);
        self
    }
}

/// What a step wants done.
pub(crate) struct Effects<S, O> {
    pub(crate) state: Change<S>,
    /// None: the deadline stays as it is.
    pub(crate) deadline: Option<Option<i64>>,
    pub(crate) emits: Vec<Emit<O>>,
    pub(crate) observed: Vec<Observation>,
    pub(crate) failure: Option<BoxError>,
}

impl<S, O> Effects<S, O> {
    pub(crate) fn new() -> Self {
        Self {
            state: Change::Keep,
            deadline: None,
            emits: Vec::new(),
            observed: Vec::new(),
            failure: None,
        }
    }

    /// Forgets all; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.state = Change::Keep;
        self.deadline = None;
        self.emits.clear();
        self.observed.clear();
        self.failure = None;
    }
}

/// A state machine's door to its state, its deadline and its results.
pub struct MachineContext<'a, S, O> {
    pub(crate) now_ms: i64,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
    pub(crate) effects: &'a mut Effects<S, O>,
}

impl<S, O> MachineContext<'_, S, O> {
    /// The task's clock, ms since 1970.
    pub fn now(&self) -> i64 {
        self.now_ms
    }

    /// The record's time, ms since 1970; a timer's due time.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The record's headers; a timer has none.
    pub fn headers(&self) -> &Headers {
        self.headers
    }

    /// The key's state from now on. The step still sees the one before.
    pub fn set(&mut self, state: S) {
        self.effects.state = Change::Set(state);
    }

    /// Forgets the key: its state, and its deadline unless one is set after this.
    pub fn delete(&mut self) {
        self.effects.state = Change::Delete;
        self.effects.deadline = Some(None);
    }

    /// Emits a result under the key; results keep the order of the calls.
    pub fn emit(&mut self, value: O) -> &mut Emit<O> {
        self.effects.emits.push(Emit { value, timestamp: self.now_ms, headers: None });
        self.effects.emits.last_mut().expect("just pushed")
    }

    /// Sets the key's one deadline (ms since 1970, task clock), or takes it away. It survives
    /// restarts and fires once; without a call it stays as it is.
    pub fn deadline(&mut self, due: Option<i64>) {
        self.effects.deadline = Some(due);
    }

    /// Tells a histogram of the application's own metrics a value, once this step is committed; nothing if it fails or
    /// is aborted. See [`Observation`].
    pub fn observe(
        &mut self,
        metric: &'static str,
        label: Option<(&'static str, &'static str)>,
        value: f64,
    ) {
        self.effects.observed.push(Observation { metric, label, value });
    }

    /// The record can't be processed: nothing of this step happens, and the node's
    /// [`crate::ErrorPolicy`] is followed.
    pub fn fail(&mut self, cause: impl Into<BoxError>) {
        self.effects.failure = Some(cause.into());
    }
}

impl<S, O> std::fmt::Debug for MachineContext<'_, S, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineContext")
            .field("now_ms", &self.now_ms)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
