//! `lookup`: reads a global table, and may wait for it.
//!
//! A global table lags behind the streams. A record whose lookup misses can be
//! held until the table has reached the end that its topic had *after* the
//! miss; what is missing then was not written before the record.

use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder};

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::graph::{NodeId, NodeKind};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::table::GlobalKTable;

/// What to do with a record after its lookups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle<VO> {
    /// Hand this on under the record's key.
    Emit(VO),
    /// Nothing comes of the record.
    Skip,
    /// Wait for the table, then ask again with `settled` true. Then it is an error of the node.
    Hold,
}

/// Encodes keys for, and decodes rows of, one global table.
pub(crate) struct GlobalReader<GK: ?Sized, GV: ?Sized> {
    pub(crate) table: usize,
    key: Box<dyn Encoder<GK>>,
    value: Box<dyn Decoder<GV>>,
    bytes: Vec<u8>,
}

impl<GK: ?Sized, GV: ?Sized> GlobalReader<GK, GV> {
    pub(crate) fn new(table: &GlobalKTable<GK, GV>) -> Self
    where
        GK: 'static,
        GV: 'static,
    {
        let (key, value) = (table.topic.key().encoder(), table.topic.value().decoder());
        Self { table: table.number, key, value, bytes: Vec::new() }
    }

    pub(crate) fn read<R>(
        &mut self,
        globals: &Globals,
        key: &GK,
        read: impl FnOnce(Option<&GV>) -> R,
    ) -> Result<R, CodecError> {
        self.bytes.clear();
        self.key.encode(key, &mut self.bytes)?;
        let value = &mut self.value;
        globals.with(self.table, &self.bytes, |row| {
            Ok(read(row.map(|row| value.decode(row)).transpose()?))
        })
    }
}

/// A global table as a lookup sees it.
pub struct GlobalView<'a, GK: ?Sized, GV: ?Sized> {
    reader: &'a mut GlobalReader<GK, GV>,
    globals: &'a Globals,
    failed: Option<CodecError>,
}

impl<GK: ?Sized, GV: ?Sized> GlobalView<'_, GK, GV> {
    /// Shows the row of a key. A row that can't be decoded looks like none to `read`, and then fails
    /// the record whatever the lookup decides.
    pub fn get<R>(&mut self, key: &GK, read: impl Fn(Option<&GV>) -> R) -> R {
        self.reader.read(self.globals, key, &read).unwrap_or_else(|error| {
            self.failed = Some(error);
            read(None)
        })
    }
}

impl<GK: ?Sized, GV: ?Sized> std::fmt::Debug for GlobalView<'_, GK, GV> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalView").field("table", &self.reader.table).finish_non_exhaustive()
    }
}

type LookupFn<K, V, GK, GV, VO> = Arc<
    dyn for<'a, 'g> Fn(&'a K, &'a V, &mut GlobalView<'g, GK, GV>, bool) -> Settle<VO> + Send + Sync,
>;

struct Lookup<K: ?Sized, V: ?Sized, GK: ?Sized, GV: ?Sized, VO> {
    id: NodeId,
    rows: GlobalReader<GK, GV>,
    decide: LookupFn<K, V, GK, GV, VO>,
    next: Edge<K, VO>,
}

impl<K, V, GK, GV, VO> Process<K, V> for Lookup<K, V, GK, GV, VO>
where
    K: ?Sized,
    V: ?Sized,
    GK: ?Sized,
    GV: ?Sized,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some((key, value)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let table = self.rows.table;
        let settled = ctx.settled.contains(&table);
        let globals = Arc::clone(&ctx.globals);
        let mut view = GlobalView { reader: &mut self.rows, globals: &globals, failed: None };
        let decision = (self.decide)(key, value, &mut view, settled);
        if let Some(error) = view.failed {
            return Err(Failure::node(self.id, error));
        }
        match decision {
            Settle::Emit(value) => self.next.process(record.with_value(Some(&value)), ctx),
            Settle::Skip => Ok(()),
            Settle::Hold if settled => Err(Failure::node(
                self.id,
                "held a record that is settled; decide when `settled` is true",
            )),
            Settle::Hold => Err(Failure::hold(table)),
        }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Decides on each record with any number of lookups in a global table. Holding a record holds
    /// its whole task, so order is kept. Records without key or value are dropped and counted.
    pub fn lookup<GK, GV, VO>(
        &self,
        name: &str,
        table: &GlobalKTable<GK, GV>,
        decide: impl for<'a, 'g> Fn(&'a K, &'a V, &mut GlobalView<'g, GK, GV>, bool) -> Settle<VO>
        + Send
        + Sync
        + 'static,
    ) -> KStream<K, VO>
    where
        GK: ?Sized + 'static,
        GV: ?Sized + 'static,
        VO: 'static,
    {
        let number = table.number;
        let table = table.clone();
        let decide: LookupFn<K, V, GK, GV, VO> = Arc::new(decide);
        let make = move |id, next: Edge<K, VO>| Lookup {
            id,
            rows: GlobalReader::new(&table),
            decide: Arc::clone(&decide),
            next,
        };
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            assembly.install::<K, V>(id, make(id, next));
        };
        self.note();
        let mut graph = self.flow.borrow_mut();
        let node =
            graph.add(Some(name), NodeKind::Operator("lookup"), &[self.node], Box::new(build));
        graph.nodes[node.0].globals.push(number);
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{numbers, pair};
    use crate::{StreamsBuilder, TopologyTestDriver};

    /// Prices by product; a missing one is held once, then -1. Key "skip" is skipped, "stuck" held for ever.
    fn driver() -> TopologyTestDriver {
        let builder = StreamsBuilder::new("test");
        let prices = builder.global_table("prices", &numbers("prices"));
        let priced = builder.stream(&numbers("in")).lookup(
            "price",
            &prices,
            |key, n, rows, settled| match (key, rows.get(key, |row| row.copied())) {
                ("skip", _) => Settle::Skip,
                ("stuck", _) => Settle::Hold,
                (_, Some(price)) => Settle::Emit(price * n),
                (_, None) if settled => Settle::Emit(-1),
                (_, None) => Settle::Hold,
            },
        );
        priced.on_error(crate::ErrorPolicy::Skip).to(&numbers("out"));
        TopologyTestDriver::new(&builder.build().unwrap())
    }

    #[test]
    fn a_lagging_table_holds_the_record_and_all_behind_it() {
        let driver = driver();
        driver.pause_globals(true);
        driver.input(&numbers("prices")).pipe("a", &10);
        driver.input(&numbers("in")).pipe("a", &1);
        driver.input(&numbers("in")).pipe("skip", &1);
        driver.input(&numbers("in")).pipe("b", &2);
        assert!(driver.output(&numbers("out")).is_empty());
        driver.restart();
        driver.run().unwrap();
        assert!(driver.output(&numbers("out")).is_empty());
        driver.pause_globals(false);
        driver.run().unwrap();
        assert_eq!(
            driver.output(&numbers("out")).read_key_values(),
            [pair("a", 10), pair("b", -1)]
        );
    }

    #[test]
    fn holding_a_settled_record_is_an_error_and_not_an_endless_wait() {
        let driver = driver();
        driver.input(&numbers("in")).pipe("stuck", &1);
        assert_eq!(driver.dropped().skipped, 1);
    }
}
