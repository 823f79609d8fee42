//! `state_machine`: one state and one durable deadline per key, moved by a pure step.
//!
//! ```text
//! store `<name>`         key → flags (1 byte) | deadline (8 bytes, if flag 1) | state (if flag 2)
//! store `<name>-timers`  due (8 bytes, order-preserving) | key → one byte
//! ```
//!
//! Invariant: a key has a row in the timer store exactly when its own row has a
//! deadline, and it is the same one.

use std::sync::Arc;

use state_stores::{Decoder, Encoder, Serde, StoreError, StoreIndex, StoreKind};

use super::machine_context::{Change, Effects, Input, MachineContext};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::headers::{Headers, NO_HEADERS};
use crate::process::{Edge, Process, TimerHandler};
use crate::record::Record;
use crate::row_layout::RowLayout;
use crate::stream::KStream;
use crate::timers::Timers;
use crate::topic::IntoSerde;
use crate::topology::TopologyError;

type StepFn<K, V, S, O> = Arc<
    dyn for<'a> Fn(&'a K, Option<&'a S>, Input<'a, V>, &mut MachineContext<'a, S, O>) + Send + Sync,
>;

const HAS_DEADLINE: u8 = 1;
const HAS_STATE: u8 = 2;

struct Machine<K: ?Sized, V: ?Sized, S, O> {
    key_encoder: Box<dyn Encoder<K>>,
    key_decoder: Box<dyn Decoder<K>>,
    core: Core<K, V, S, O>,
    key: Vec<u8>,
}

/// All of the machine but the key's codecs, so that a decoded key can be lent to it.
struct Core<K: ?Sized, V: ?Sized, S, O> {
    id: NodeId,
    name: Arc<str>,
    store: StoreIndex,
    timers: StoreIndex,
    step: StepFn<K, V, S, O>,
    state_decoder: Box<dyn Decoder<S>>,
    state_encoder: Box<dyn Encoder<S>>,
    /// The row before, and the row after.
    row: Vec<u8>,
    new_row: Vec<u8>,
    effects: Effects<S, O>,
    next: Edge<K, O>,
}

impl<K: ?Sized, V: ?Sized, S, O> Core<K, V, S, O> {
    fn run(
        &mut self,
        (key, key_bytes): (&K, &[u8]),
        input: Input<'_, V>,
        timestamp: i64,
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let fired = matches!(input, Input::Timer(_));
        let row = &mut self.row;
        row.clear();
        let read = |bytes: Option<&[u8]>| row.extend_from_slice(bytes.unwrap_or(&[0]));
        ctx.state.get_with(self.store, key_bytes, read)?;
        let (old_deadline, state) = split(row).ok_or_else(|| damaged(&self.name))?;
        if let Input::Timer(due) = input
            && old_deadline != Some(due)
        {
            return Ok(());
        }
        self.effects.clear();
        let state = state.map(|bytes| self.state_decoder.decode(bytes)).transpose();
        let state =
            state.map_err(|source| StoreError::Codec { store: self.name.to_string(), source })?;
        let now_ms = ctx.now_ms;
        (self.step)(
            key,
            state,
            input,
            &mut MachineContext { now_ms, timestamp, headers, effects: &mut self.effects },
        );
        if let Some(cause) = self.effects.failure.take() {
            return Err(Failure::node(self.id, cause));
        }
        let kept = if fired { None } else { old_deadline };
        let deadline = self.effects.deadline.unwrap_or(kept);
        self.write(key_bytes, deadline, ctx)?;
        if deadline != kept {
            let queue = ctx.timers.queue_of(self.timers);
            if let Some(due) = kept {
                ctx.cancel_timer(queue, due, key_bytes);
            }
            if let Some(due) = deadline {
                ctx.set_timer(queue, due, key_bytes);
            }
        }
        ctx.observed.append(&mut self.effects.observed);
        for emit in &self.effects.emits {
            let headers = emit.headers.as_ref().unwrap_or(headers);
            let record = Record {
                key: Some(key),
                value: Some(&emit.value),
                timestamp: emit.timestamp,
                headers,
            };
            self.next.process(record, ctx)?;
        }
        Ok(())
    }

    /// Takes a deadline that won't fire out of the row, or a later step that asks for the same one
    /// would get none.
    fn forget_deadline(
        &mut self,
        key: &[u8],
        due: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), StoreError> {
        let row = &mut self.row;
        row.clear();
        let read = |bytes: Option<&[u8]>| row.extend_from_slice(bytes.unwrap_or(&[0]));
        ctx.state.get_with(self.store, key, read)?;
        let (deadline, state) = split(row).ok_or_else(|| damaged(&self.name))?;
        if deadline == Some(due) {
            let row = &mut self.new_row;
            row.clear();
            if let Some(state) = state {
                row.push(HAS_STATE);
                row.extend_from_slice(state);
            }
            ctx.state.put(self.store, key, (!row.is_empty()).then_some(&row[..]));
        }
        Ok(())
    }

    /// Writes the row if it changed.
    fn write(
        &mut self,
        key: &[u8],
        deadline: Option<i64>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let row = &mut self.new_row;
        row.clear();
        row.push(if deadline.is_some() { HAS_DEADLINE } else { 0 });
        row.extend(deadline.map(i64::to_be_bytes).iter().flatten());
        match &self.effects.state {
            Change::Keep => {
                if let Some((_, Some(state))) = split(&self.row) {
                    row[0] |= HAS_STATE;
                    row.extend_from_slice(state);
                }
            }
            Change::Set(state) => {
                row[0] |= HAS_STATE;
                let encoded = self.state_encoder.encode(state, row);
                encoded.map_err(|error| Failure::node(self.id, error))?;
            }
            Change::Delete => {}
        }
        if *row != self.row {
            ctx.state.put(self.store, key, (row[0] != 0).then_some(&row[..]));
        }
        Ok(())
    }
}

/// Deadline and state of a row; `None` when it is damaged.
pub(crate) fn split(row: &[u8]) -> Option<(Option<i64>, Option<&[u8]>)> {
    let (flags, rest) = row.split_first()?;
    let (deadline, rest) = if flags & HAS_DEADLINE == 0 {
        (None, rest)
    } else {
        let (deadline, rest) = rest.split_first_chunk()?;
        (Some(i64::from_be_bytes(*deadline)), rest)
    };
    Some((deadline, (flags & HAS_STATE != 0).then_some(rest)))
}

fn damaged(store: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("a row of store `{store}`"),
        detail: "too short".to_owned(),
    }
}

impl<K: ?Sized, V: ?Sized, S: Send, O: Send> Process<K, V> for Machine<K, V, S, O> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some((key, value)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        self.key.clear();
        let encoded = self.key_encoder.encode(key, &mut self.key);
        encoded.map_err(|error| Failure::node(self.core.id, error))?;
        self.core.run(
            (key, &self.key),
            Input::Message(value),
            record.timestamp,
            record.headers,
            ctx,
        )
    }
}

impl<K: ?Sized, V: ?Sized, S: Send, O: Send> TimerHandler for Machine<K, V, S, O> {
    fn on_timer(
        &mut self,
        key_bytes: &[u8],
        due: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let key = self
            .key_decoder
            .decode(key_bytes)
            .map_err(|error| Failure::node(self.core.id, error))?;
        self.core.run((key, key_bytes), Input::Timer(due), due, &NO_HEADERS, ctx)
    }

    fn on_lost_timer(
        &mut self,
        key: &[u8],
        due: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), StoreError> {
        self.core.forget_deadline(key, due, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Moves each key's state by `step`, which sees a record or the key's deadline, and emits results
    /// under the same key. See [`MachineContext`] for what it can do. Records without key or value
    /// are dropped and counted. Repartitions if the key may have changed.
    pub fn state_machine<S: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
        state: impl IntoSerde<S>,
        step: impl for<'a> Fn(&'a K, Option<&'a S>, Input<'a, V>, &mut MachineContext<'a, S, O>)
        + Send
        + Sync
        + 'static,
    ) -> KStream<K, O> {
        let input = self.keyed(name);
        let Some(key) = input.serdes.key.clone() else {
            self.problem(TopologyError::NoSerde { operator: name.to_owned(), part: "key" });
            return KStream::new(&self.flow, self.node, self.serdes.with_value(None), false);
        };
        let state = state.into_serde();
        let stores = declarations(name, &key, &state);
        let step: StepFn<K, V, S, O> = Arc::new(step);
        let (name, timers) = (Arc::clone(&stores[0].name), Arc::clone(&stores[1].name));
        let node_name = Arc::clone(&name);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, O>(id);
            let core = Core {
                id,
                name: Arc::clone(&name),
                store: assembly.store(&name),
                timers: assembly.store(&timers),
                step: Arc::clone(&step),
                state_decoder: state.decoder(),
                state_encoder: state.encoder(),
                row: Vec::new(),
                new_row: Vec::new(),
                effects: Effects::new(),
                next,
            };
            let timers = core.timers;
            let machine = Machine {
                key_encoder: key.encoder(),
                key_decoder: key.decoder(),
                core,
                key: Vec::new(),
            };
            assembly.install_timed::<K, V, _>(id, timers, machine);
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator("state-machine");
        let node = graph.add(Some(&node_name), kind, &[input.node], Box::new(build));
        for store in stores {
            graph.declare(node, store);
        }
        KStream::new(&input.flow, node, input.serdes.with_value(None), false)
    }
}

fn declarations<K: ?Sized + 'static, S: 'static>(
    name: &str,
    key: &Serde<K>,
    state: &Serde<S>,
) -> [StoreDecl; 2] {
    let formats = (key.format().to_owned(), format!("machine-{}", state.format()));
    let (rows, kind) = (RowLayout::Machine, StoreKind::KeyValue);
    let unpartitioned = Some(key.unpartitioned_bytes());
    [StoreDecl { name: name.into(), kind, formats, rows, unpartitioned }, Timers::declare(name)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{Dropped, ErrorPolicy, StreamsBuilder, TopologyTestDriver};

    /// Adds numbers; 100 ms after the last one the sum goes out negated and is forgotten. -1 fails
    /// after all effects were asked for, -2 takes the deadline away, -3 forgets the key.
    fn step(
        _: &str,
        sum: Option<&i64>,
        input: Input<'_, i64>,
        ctx: &mut MachineContext<'_, i64, i64>,
    ) {
        let sum = sum.copied().unwrap_or(0);
        match input {
            Input::Message(-2) => ctx.deadline(None),
            Input::Message(-3) => ctx.delete(),
            Input::Message(n) => {
                ctx.set(sum + n);
                ctx.deadline(Some(ctx.now() + 100));
                ctx.emit(sum + n).header("by", b"step");
                if *n == -1 {
                    ctx.fail("minus one");
                }
            }
            Input::Timer(due) => {
                assert_eq!(ctx.timestamp(), due);
                ctx.emit(-sum).at(due);
                ctx.delete();
            }
        }
    }

    fn driver(policy: ErrorPolicy) -> TopologyTestDriver {
        let builder = StreamsBuilder::new("test");
        let sums =
            builder.stream(&numbers("in")).state_machine("sums", I64Be, step).on_error(policy);
        sums.to(&numbers("out"));
        TopologyTestDriver::new(&builder.build().unwrap())
    }

    #[test]
    fn one_deadline_per_key_fires_once_and_moves_with_each_record() {
        let driver = driver(ErrorPolicy::Fail);
        driver.input(&numbers("in")).pipe("k", &1);
        driver.advance_wall_clock(60);
        driver.input(&numbers("in")).pipe("k", &2);
        assert_eq!(driver.next_timer(), Some(160));
        driver.restart();
        driver.advance_wall_clock(99);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 3]);
        driver.advance_wall_clock(1);
        let records = driver.output(&numbers("out")).read_records();
        assert_eq!((records[2].value, records[2].timestamp), (Some(-3), 160));
        assert_eq!(records[0].headers.get("by"), Some(&b"step"[..]));
        driver.advance_wall_clock(1000);
        assert_eq!(driver.output(&numbers("out")).read_values().len(), 3);
        assert!(driver.rows("sums").is_empty() && driver.rows("sums-timers").is_empty());
    }

    #[test]
    fn deadlines_can_be_taken_away_and_go_with_the_key() {
        let driver = driver(ErrorPolicy::Fail);
        for (key, last) in [("a", -2), ("b", -3)] {
            driver.input(&numbers("in")).pipe(key, &1);
            driver.input(&numbers("in")).pipe(key, &last);
        }
        assert!(driver.rows("sums-timers").is_empty());
        assert_eq!(driver.machine_state::<str, i64>("sums", Utf8, I64Be, "a"), Some(1));
        assert_eq!(driver.machine_state::<str, i64>("sums", Utf8, I64Be, "b"), None);
    }

    #[test]
    fn a_failed_step_leaves_no_trace() {
        let driver = driver(ErrorPolicy::Skip);
        driver.input(&numbers("in")).pipe("k", &1);
        driver.advance_wall_clock(10);
        driver.input(&numbers("in")).pipe("k", &-1);
        assert_eq!(driver.output(&numbers("out")).read_key_values(), [pair("k", 1)]);
        assert_eq!(driver.next_timer(), Some(100));
        assert_eq!(driver.dropped(), Dropped { skipped: 1, ..Default::default() });
    }

    /// Keeps the deadline it was given with `n` = the due time, and fails whenever that fires.
    fn stubborn(
        _: &str,
        _: Option<&i64>,
        input: Input<'_, i64>,
        ctx: &mut MachineContext<'_, i64, i64>,
    ) {
        match input {
            Input::Message(due) => {
                ctx.set(*due);
                ctx.deadline(Some(*due));
                ctx.emit(*due);
            }
            Input::Timer(_) => ctx.fail("not today"),
        }
    }

    #[test]
    fn a_deadline_that_was_given_up_can_be_asked_for_again() {
        for policy in [ErrorPolicy::Skip, ErrorPolicy::DeadLetter] {
            let builder = StreamsBuilder::new("test");
            let stream = builder.stream(&numbers("in"));
            let machine = stream.state_machine("m", I64Be, stubborn).on_error(policy);
            machine.to(&numbers("out"));
            let driver = TopologyTestDriver::new(&builder.build().unwrap());
            driver.input(&numbers("in")).pipe("k", &100);
            driver.advance_wall_clock(100);
            assert_eq!(driver.next_timer(), None, "{policy:?}");
            let state = driver.machine_state::<str, i64>("m", Utf8, I64Be, "k");
            assert_eq!(state, Some(100), "only the deadline is gone");
            driver.input(&numbers("in")).pipe("k", &100);
            assert_eq!(driver.next_timer(), None, "due at once, and given up again");
            let given_up = driver.dropped();
            assert_eq!(given_up.skipped + given_up.dead_letters, 2, "{policy:?}");
            driver.restart();
            assert!(driver.rows("m-timers").is_empty());
        }
    }

    #[test]
    fn rows_split_into_deadline_and_state() {
        assert_eq!(split(&[0]), Some((None, None)));
        assert_eq!(split(&[2, 7, 8]), Some((None, Some(&[7, 8][..]))));
        assert_eq!(split(&[3, 0, 0, 0, 0, 0, 0, 0, 5, 9]), Some((Some(5), Some(&[9][..]))));
        assert_eq!(split(&[1, 0]), None);
        assert_eq!(split(&[]), None);
    }
}
