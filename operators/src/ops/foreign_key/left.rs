//! The left side of a foreign-key join: it subscribes to right rows, and joins the answers.

use std::borrow::Borrow;
use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder, StoreIndex};

use super::message::{Answer, Hash, Instruction, Subscription, hash_of, read_response};
use crate::change::{Change, Changes};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeId;
use crate::ops::kept_rows::KeptRows;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::view::Rows;

/// The key of the right row that a left row refers to.
pub(super) type ForeignKey<K, V, FK> =
    Arc<dyn Fn(&K, &V) -> Option<<FK as ToOwned>::Owned> + Send + Sync>;

/// The joined row of both rows, if these make one.
pub(super) type Join<V, R, VO> = Arc<dyn Fn(Option<&V>, Option<&R>) -> Option<VO> + Send + Sync>;

/// Tells the right side which row each left row refers to, and since when it doesn't.
pub(super) struct Subscribe<K: ?Sized, V: ?Sized, FK: ?Sized + ToOwned> {
    pub(super) id: NodeId,
    pub(super) foreign_key: ForeignKey<K, V, FK>,
    /// A left row makes a result without a right one.
    pub(super) left_join: bool,
    pub(super) keys: Box<dyn Encoder<K>>,
    pub(super) values: Box<dyn Encoder<V>>,
    pub(super) foreign_keys: Box<dyn Encoder<FK>>,
    /// The result's store and how its keys are written.
    pub(super) results: (StoreIndex, Box<dyn Encoder<K>>),
    pub(super) scratch: Scratch,
    pub(super) next: Edge<FK, [u8]>,
}

/// Encoded parts of a message, in memory that is reused.
#[derive(Default)]
pub(super) struct Scratch {
    left_key: Vec<u8>,
    /// A left value, or the old foreign key.
    one: Vec<u8>,
    other: Vec<u8>,
    message: Vec<u8>,
}

impl<K: ?Sized, V: ?Sized, FK: ?Sized + ToOwned> Subscribe<K, V, FK> {
    /// The hash of the new row. Afterwards the left key is encoded.
    fn prepare(&mut self, key: &K, row: Option<&V>) -> Result<Hash, CodecError> {
        self.scratch.left_key.clear();
        self.keys.encode(key, &mut self.scratch.left_key)?;
        hash_of(row, &mut *self.values, &mut self.scratch.one)
    }

    /// Foreign keys are compared as bytes.
    fn differ(&mut self, old: &FK, new: &FK) -> Result<bool, CodecError> {
        let Scratch { one, other, .. } = &mut self.scratch;
        one.clear();
        other.clear();
        self.foreign_keys.encode(old, one)?;
        self.foreign_keys.encode(new, other)?;
        Ok(one != other)
    }

    /// Whether this left row was joined, as far as answers came.
    fn has_result(&mut self, key: &K, ctx: &TaskContext) -> Result<bool, Failure> {
        let (store, keys) = &mut self.results;
        self.scratch.one.clear();
        keys.encode(key, &mut self.scratch.one).map_err(|error| Failure::node(self.id, error))?;
        Ok(ctx.state.get_with(*store, &self.scratch.one, |row| row.is_some())?)
    }

    fn send(
        &mut self,
        record: Record<'_, K, V>,
        key: Option<&FK>,
        (instruction, hash): (Instruction, Hash),
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Scratch { left_key, message, .. } = &mut self.scratch;
        Subscription { instruction, hash, left_key }.write(message);
        let (timestamp, headers) = (record.timestamp, record.headers);
        self.next.process(Record { key, value: Some(&message[..]), timestamp, headers }, ctx)
    }
}

impl<K, V, FK> Changes<K, V> for Subscribe<K, V, FK>
where
    K: ?Sized,
    V: ?Sized,
    FK: ?Sized + ToOwned,
{
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Change { record, old, superseded } = change;
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        if superseded || (record.value.is_none() && old.is_none()) {
            return Ok(());
        }
        let id = self.id;
        let failed = |error: CodecError| Failure::node(id, error);
        let new = record.value.and_then(|value| (self.foreign_key)(key, value));
        let old = old.and_then(|value| (self.foreign_key)(key, value));
        let (new, old) =
            (new.as_ref().map(Borrow::<FK>::borrow), old.as_ref().map(Borrow::<FK>::borrow));
        let left = match (old, new) {
            (Some(old), Some(new)) => self.differ(old, new).map_err(failed)?.then_some(old),
            _ => old,
        };
        let hash = self.prepare(key, record.value).map_err(failed)?;
        if self.left_join {
            if left.is_some() {
                self.send(record, left, (Instruction::Delete, hash), ctx)?;
            }
            return self.send(record, new, (Instruction::Answer, hash), ctx);
        }
        match (left, new) {
            (Some(_), None) => self.send(record, left, (Instruction::DeleteAndAnswer, hash), ctx),
            (Some(_), Some(_)) => {
                self.send(record, left, (Instruction::Delete, hash), ctx)?;
                self.send(record, new, (Instruction::Answer, hash), ctx)
            }
            (None, Some(_)) => self.send(record, new, (Instruction::AnswerIfFound, hash), ctx),
            // What the row before the last had joined may be left: its answer was overtaken.
            (None, None) if self.has_result(key, ctx)? => {
                self.send(record, None, (Instruction::Answer, hash), ctx)
            }
            (None, None) => Ok(()),
        }
    }

    fn wants_old(&self) -> bool {
        true
    }
}

/// Joins each answer with the left row it was asked for; if that has changed since, the answer is dropped.
pub(super) struct Resolve<K: ?Sized, V: ?Sized, R: ?Sized, VO> {
    pub(super) id: NodeId,
    pub(super) lefts: Box<dyn Rows<K, V>>,
    pub(super) join: Join<V, R, VO>,
    pub(super) keys: Box<dyn Decoder<K>>,
    pub(super) values: Box<dyn Encoder<V>>,
    pub(super) rights: Box<dyn Decoder<R>>,
    pub(super) scratch: Vec<u8>,
    pub(super) rows: KeptRows<K, VO>,
}

impl<K, V, R, VO> Process<[u8], [u8]> for Resolve<K, V, R, VO>
where
    K: ?Sized + 'static,
    V: ?Sized,
    R: ?Sized,
    VO: 'static,
{
    fn process(
        &mut self,
        record: Record<'_, [u8], [u8]>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some((key, answer)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let id = self.id;
        let failed = |error: CodecError| Failure::node(id, error);
        let key = self.keys.decode(key).map_err(failed)?;
        let (asked, answer) = read_response(answer).map_err(failed)?;
        let right = match answer {
            Answer::Row(right) => Some(self.rights.decode(right).map_err(failed)?),
            Answer::None | Answer::Quiet => None,
        };
        let (values, scratch, join) = (&mut *self.values, &mut self.scratch, &self.join);
        let joined = self.lefts.read_with(&ctx.state, key, |row| {
            let left = row.map(|(row, _)| row);
            let current = hash_of(left, values, scratch)?;
            Ok::<_, CodecError>((current == asked).then(|| join(left, right)))
        })?;
        let Some(row) = joined.map_err(failed)? else { return Ok(()) };
        let quiet = matches!(answer, Answer::Quiet);
        if quiet && !self.rows.has(&ctx.state, key)? {
            return Ok(());
        }
        self.rows.put(record.with_key(Some(key)).with_value(row.as_ref()), ctx)
    }
}
