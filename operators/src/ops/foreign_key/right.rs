//! The right side of a foreign-key join: it keeps who refers to which row, and answers.
//!
//! ```text
//! store  escaped foreign key | 00 01 | left key → hash of the left row (16)
//! ```
//!
//! The rows of one foreign key lie together, by left key: a changed right row
//! is one scan.

use std::ops::ControlFlow;

use state_stores::{CodecError, Direction, Encoder, StoreIndex, keys};

use super::message::{Answer, HASH, Hash, Instruction, Subscription, write_response};
use crate::change::{Change, Changes};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeId;
use crate::headers::Headers;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::view::Rows;

/// Subscriptions read at a time: what a change of a much referred row holds in memory.
const BATCH: usize = 256;

/// What both right-hand nodes need to answer.
pub(super) struct Answers<FK: ?Sized, R: ?Sized> {
    pub(super) id: NodeId,
    pub(super) store: StoreIndex,
    pub(super) foreign_keys: Box<dyn Encoder<FK>>,
    pub(super) values: Box<dyn Encoder<R>>,
    pub(super) encoded: Vec<u8>,
    pub(super) prefix: Vec<u8>,
    pub(super) message: Vec<u8>,
    pub(super) next: Edge<[u8], [u8]>,
}

impl<FK: ?Sized, R: ?Sized> Answers<FK, R> {
    /// Makes `prefix` the beginning of all store keys of this foreign key.
    fn locate(&mut self, key: &FK) -> Result<(), CodecError> {
        self.encoded.clear();
        self.foreign_keys.encode(key, &mut self.encoded)?;
        self.prefix.clear();
        keys::prefix(&self.encoded, &mut self.prefix);
        Ok(())
    }

    /// Makes `message` the answer.
    fn compose(&mut self, hash: Hash, answer: Answer<&R>) -> Result<(), CodecError> {
        write_response(hash, answer, &mut *self.values, &mut self.message)
    }

    fn send(
        &mut self,
        left_key: &[u8],
        (timestamp, headers): (i64, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let (key, value) = (Some(left_key), Some(&self.message[..]));
        self.next.process(Record { key, value, timestamp, headers }, ctx)
    }
}

/// Keeps subscriptions, and answers as they ask.
pub(super) struct Subscriptions<FK: ?Sized, R: ?Sized> {
    pub(super) rights: Box<dyn Rows<FK, R>>,
    pub(super) answers: Answers<FK, R>,
}

impl<FK: ?Sized, R: ?Sized> Process<FK, [u8]> for Subscriptions<FK, R> {
    fn process(
        &mut self,
        record: Record<'_, FK, [u8]>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some(message) = record.value else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let (id, answers) = (self.answers.id, &mut self.answers);
        let failed = |error: CodecError| Failure::node(id, error);
        let Subscription { instruction, hash, left_key } =
            Subscription::read(message).map_err(failed)?;
        let keep = matches!(instruction, Instruction::AnswerIfFound | Instruction::Answer);
        if let Some(key) = record.key {
            answers.locate(key).map_err(failed)?;
            answers.prefix.extend_from_slice(left_key);
            ctx.state.put(answers.store, &answers.prefix, keep.then_some(&hash[..]));
        }
        if instruction == Instruction::Delete {
            return Ok(());
        }
        let mut answer = |row: Option<(&R, i64)>| -> Result<i64, CodecError> {
            let found = match row.map(|(row, _)| row) {
                Some(row) if keep => Answer::Row(row),
                None if instruction == Instruction::AnswerIfFound => Answer::Quiet,
                _ => Answer::None,
            };
            answers.compose(hash, found)?;
            Ok(row.map_or(record.timestamp, |(_, time)| time.max(record.timestamp)))
        };
        let answered = match record.key {
            Some(key) => self.rights.read_with(&ctx.state, key, answer)?,
            None => answer(None),
        };
        let timestamp = answered.map_err(failed)?;
        self.answers.send(left_key, (timestamp, record.headers), ctx)
    }
}

/// Answers all subscriptions of a right row that changed.
pub(super) struct Foreign<FK: ?Sized, R: ?Sized> {
    pub(super) answers: Answers<FK, R>,
    /// Left keys of a batch, one after the other, with where each ends and its hash.
    pub(super) left_keys: Vec<u8>,
    pub(super) batch: Vec<(usize, Hash)>,
}

impl<FK: ?Sized, R: ?Sized> Foreign<FK, R> {
    /// Reads the next subscriptions from `from` on; `from` becomes where the one after them may be.
    fn read(&mut self, from: &mut Vec<u8>, ctx: &TaskContext) -> Result<(), Failure> {
        self.batch.clear();
        self.left_keys.clear();
        let (prefix, mut damaged) = (&self.answers.prefix, false);
        let to = keys::after_prefix(prefix);
        let (first, store) = (from.clone(), self.answers.store);
        ctx.state.scan(store, &first, to.as_deref(), Direction::Forward, &mut |key, hash| {
            let Ok(hash) = <[u8; HASH]>::try_from(hash) else {
                damaged = true;
                return ControlFlow::Break(());
            };
            self.left_keys.extend_from_slice(&key[prefix.len()..]);
            self.batch.push((self.left_keys.len(), hash));
            from.clear();
            from.extend_from_slice(key);
            from.push(0);
            if self.batch.len() < BATCH {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if damaged {
            let error = CodecError::new("subscription row", "damaged");
            return Err(Failure::node(self.answers.id, error));
        }
        Ok(())
    }
}

impl<FK: ?Sized, R: ?Sized> Changes<FK, R> for Foreign<FK, R> {
    fn change(&mut self, change: Change<'_, FK, R>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let record = change.record;
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        if change.superseded {
            return Ok(());
        }
        let id = self.answers.id;
        let failed = |error: CodecError| Failure::node(id, error);
        self.answers.locate(key).map_err(failed)?;
        let answer = record.value.map_or(Answer::None, Answer::Row);
        let mut from = self.answers.prefix.clone();
        loop {
            self.read(&mut from, ctx)?;
            let mut start = 0;
            for (end, hash) in &self.batch {
                self.answers.compose(*hash, answer).map_err(failed)?;
                let left_key = &self.left_keys[start..*end];
                self.answers.send(left_key, (record.timestamp, record.headers), ctx)?;
                start = *end;
            }
            if self.batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    fn wants_old(&self) -> bool {
        false
    }
}
