//! `KTable::group_by`: rows on the way to another key's aggregation (T06, KIP-904).
//!
//! A changed row leaves its old group and enters its new one. Both go over a
//! repartition topic, as one message where the group stays the same, or else
//! the old group's first.
//!
//! ```text
//! message  01 | new        a row entered the group
//!          02 | old        a row left it
//!          03 | length of new (4 bytes, big-endian) | new | old
//! ```

use std::borrow::Borrow;
use std::sync::Arc;

use state_stores::{CodecError, Encoder, RawBytes, Serde};

use crate::change::{Change, Changes};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};
use crate::table::KTable;
use crate::topic::IntoSerde;
use crate::topology::TopologyError;
use crate::view::View;

const NEW: u8 = 1;
const OLD: u8 = 2;

/// The group's key and the value that a row counts as in it.
pub(crate) type Select<K, V, KO, VO> =
    Arc<dyn Fn(&K, &V) -> (<KO as ToOwned>::Owned, VO) + Send + Sync>;

/// New and old value of a message.
pub(crate) type Halves<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Takes a message apart.
pub(crate) fn halves(message: &[u8]) -> Result<Halves<'_>, CodecError> {
    let damaged = || CodecError::new("change", "damaged");
    let (flags, rest) = message.split_first().ok_or_else(damaged)?;
    match *flags {
        NEW => Ok((Some(rest), None)),
        OLD => Ok((None, Some(rest))),
        flags if flags == NEW | OLD => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (new, old) = rest.split_at_checked(length).ok_or_else(damaged)?;
            Ok((Some(new), Some(old)))
        }
        _ => Err(damaged()),
    }
}

struct TableGroup<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> {
    id: NodeId,
    select: Select<K, V, KO, VO>,
    keys: Box<dyn Encoder<KO>>,
    values: Box<dyn Encoder<VO>>,
    /// Encoded groups, to be compared.
    groups: [Vec<u8>; 2],
    message: Vec<u8>,
    next: Edge<KO, [u8]>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> TableGroup<K, V, KO, VO> {
    fn same_group(&mut self, one: &KO, other: &KO) -> Result<bool, CodecError> {
        for (key, bytes) in [one, other].into_iter().zip(&mut self.groups) {
            bytes.clear();
            self.keys.encode(key, bytes)?;
        }
        Ok(self.groups[0] == self.groups[1])
    }

    fn write(&mut self, new: Option<&VO>, old: Option<&VO>) -> Result<(), CodecError> {
        let (message, values) = (&mut self.message, &mut self.values);
        message.clear();
        message.push(if new.is_some() { NEW } else { 0 } | if old.is_some() { OLD } else { 0 });
        match (new, old) {
            (Some(new), Some(old)) => {
                message.extend_from_slice(&[0; 4]);
                let start = message.len();
                values.encode(new, message)?;
                let length = u32::try_from(message.len() - start)
                    .map_err(|_| CodecError::new("change", "the value is longer than 4 GiB"))?;
                message[start - 4..start].copy_from_slice(&length.to_be_bytes());
                values.encode(old, message)
            }
            (Some(one), None) | (None, Some(one)) => values.encode(one, message),
            (None, None) => Ok(()),
        }
    }

    fn send(
        &mut self,
        record: Record<'_, K, V>,
        group: &KO,
        (new, old): (Option<&VO>, Option<&VO>),
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        self.write(new, old).map_err(|error| Failure::node(self.id, error))?;
        let (timestamp, headers) = (record.timestamp, record.headers);
        let value = Some(&self.message[..]);
        self.next.process(Record { key: Some(group), value, timestamp, headers }, ctx)
    }
}

impl<K, V, KO, VO> Changes<K, V> for TableGroup<K, V, KO, VO>
where
    K: ?Sized,
    V: ?Sized,
    KO: ?Sized + ToOwned,
{
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let record = change.record;
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        if change.superseded {
            return Ok(());
        }
        let new = record.value.map(|value| (self.select)(key, value));
        let old = change.old.map(|value| (self.select)(key, value));
        if let (Some((group, new)), Some((left, old))) = (&new, &old) {
            let same = self.same_group(group.borrow(), left.borrow());
            if same.map_err(|error| Failure::node(self.id, error))? {
                return self.send(record, group.borrow(), (Some(new), Some(old)), ctx);
            }
        }
        if let Some((group, old)) = &old {
            self.send(record, group.borrow(), (None, Some(old)), ctx)?;
        }
        if let Some((group, new)) = &new {
            self.send(record, group.borrow(), (Some(new), None), ctx)?;
        }
        Ok(())
    }

    fn wants_old(&self) -> bool {
        true
    }
}

/// A table whose rows are to be combined by another key.
pub struct KGroupedTable<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> {
    table: KTable<K, V>,
    select: Select<K, V, KO, VO>,
    value: Option<Serde<VO>>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> std::fmt::Debug
    for KGroupedTable<K, V, KO, VO>
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KGroupedTable").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// Groups the rows by a key made of key and value; with it goes the value that the row counts
    /// as. The aggregation repartitions under its own name.
    pub fn group_by<KO: ?Sized + ToOwned + 'static, VO: 'static>(
        &self,
        select: impl Fn(&K, &V) -> (KO::Owned, VO) + Send + Sync + 'static,
    ) -> KGroupedTable<K, V, KO, VO> {
        KGroupedTable { table: self.clone(), select: Arc::new(select), value: None }
    }
}

impl<K, V, KO, VO> KGroupedTable<K, V, KO, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    KO: ?Sized + ToOwned + 'static,
    VO: 'static,
{
    /// Says how values are written on their way. `reduce` knows it from its store.
    pub fn with_value_serde(mut self, value: impl IntoSerde<VO>) -> Self {
        self.value = Some(value.into_serde());
        self
    }

    /// The same groups of other values.
    pub(crate) fn valued<W: 'static>(
        &self,
        value: impl Fn(VO) -> W + Send + Sync + 'static,
        serde: Serde<W>,
    ) -> KGroupedTable<K, V, KO, W> {
        let select = Arc::clone(&self.select);
        let select = move |key: &K, row: &V| {
            let (group, old) = select(key, row);
            (group, value(old))
        };
        KGroupedTable { table: self.table.clone(), select: Arc::new(select), value: Some(serde) }
    }

    /// The codec that was set, or else `known`.
    pub(crate) fn value_serde_or(&self, known: Option<Serde<VO>>) -> Option<Serde<VO>> {
        self.value.clone().or(known)
    }

    /// The messages by group, behind the repartition topic of `name`.
    pub(crate) fn messages(
        &self,
        name: &str,
        keys: &Serde<KO>,
        values: Option<Serde<VO>>,
    ) -> KStream<KO, [u8]> {
        let (flow, select, key) = (&self.table.flow, Arc::clone(&self.select), Arc::clone(keys));
        let serdes = Serdes { key: Some(Arc::clone(keys)), value: Some(RawBytes.into_serde()) };
        let Some(values) = values else {
            let problem = TopologyError::NoSerde { operator: name.to_owned(), part: "value" };
            flow.borrow_mut().problems.push(problem);
            return KStream::new(flow, self.table.node, serdes, false);
        };
        if !self.table.view.as_ref().is_some_and(View::knows_old) {
            let problem = TopologyError::NotMaterialized { operator: name.to_owned() };
            flow.borrow_mut().problems.push(problem);
        }
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<KO, [u8]>(id);
            let (keys, values) = (key.encoder(), values.encoder());
            let (select, groups, message) = (Arc::clone(&select), Default::default(), Vec::new());
            let group = TableGroup { id, select, keys, values, groups, message, next };
            assembly.install_table::<K, V>(id, group);
        };
        let kind = NodeKind::Operator("group-table");
        let node = flow.borrow_mut().add(None, kind, &[self.table.node], Box::new(build));
        KStream::new(flow, node, serdes, true).repartition(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_apart_and_damage_is_noticed() {
        assert_eq!(halves(b"\x01new").unwrap(), (Some(&b"new"[..]), None));
        assert_eq!(halves(b"\x02old").unwrap(), (None, Some(&b"old"[..])));
        let both = (Some(&b"new"[..]), Some(&b""[..]));
        assert_eq!(halves(b"\x03\0\0\0\x03new").unwrap(), both);
        for damaged in [&b""[..], b"\x00", b"\x04x", b"\x03\0\0", b"\x03\0\0\0\x02x"] {
            assert!(halves(damaged).is_err(), "{damaged:?}");
        }
    }
}
