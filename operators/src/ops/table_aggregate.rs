//! `count`, `reduce`, `aggregate` of a grouped table: one row per group (T07).
//!
//! A changed row is taken out of its old group by the subtractor, then added to
//! its new one. Only a result of `None` deletes a group's row: a group that
//! everything left keeps what the subtractor made of it.

use std::sync::Arc;

use state_stores::{CodecError, Decoder, StoreKind, Unit};

use super::kept_rows::KeptRows;
use super::table_group::{KGroupedTable, halves};
use super::table_nodes::table_node;
use crate::aggregate_result::AggregateResult;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeId;
use crate::materialized::Materialized;
use crate::process::Process;
use crate::record::Record;
use crate::stream::Serdes;
use crate::table::KTable;
use crate::topic::IntoSerde;
use crate::view::View;

/// The row after a value entered the group; the first finds no row.
type Add<K, V, A> = Arc<dyn Fn(&K, &V, Option<&A>) -> Option<A> + Send + Sync>;
/// The row after a value left the group.
type Subtract<K, V, A> = Arc<dyn Fn(&K, &V, &A) -> Option<A> + Send + Sync>;

struct TableAggregate<K: ?Sized, V, A> {
    id: NodeId,
    add: Add<K, V, A>,
    subtract: Subtract<K, V, A>,
    /// One for new and one for old values: both are at hand at once.
    decoders: [Box<dyn Decoder<V>>; 2],
    rows: KeptRows<K, A>,
}

/// New and old value of a message, decoded.
fn decode<'a, V>(
    [new, old]: &'a mut [Box<dyn Decoder<V>>; 2],
    message: &'a [u8],
) -> Result<(Option<&'a V>, Option<&'a V>), CodecError> {
    let halves = halves(message)?;
    let new = halves.0.map(|bytes| new.decode(bytes)).transpose()?;
    Ok((new, halves.1.map(|bytes| old.decode(bytes)).transpose()?))
}

impl<K: ?Sized + 'static, V, A: 'static> Process<K, [u8]> for TableAggregate<K, V, A> {
    fn process(
        &mut self,
        record: Record<'_, K, [u8]>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Some((key, message)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let (entered, left) =
            decode(&mut self.decoders, message).map_err(|error| Failure::node(self.id, error))?;
        let (add, subtract) = (&self.add, &self.subtract);
        let after = |row: Option<&A>| {
            let rest = left.zip(row).map(|(left, row)| subtract(key, left, row));
            match (entered, &rest) {
                (Some(entered), Some(rest)) => add(key, entered, rest.as_ref()),
                (Some(entered), None) => add(key, entered, row),
                (None, _) => rest.flatten(),
            }
        };
        self.rows.update(key, record, after, ctx)
    }
}

impl<K, V, KO, VO> KGroupedTable<K, V, KO, VO>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    KO: ?Sized + ToOwned + 'static,
    VO: 'static,
{
    /// How many rows each group has. A group that was left by all has 0.
    pub fn count(&self, materialized: &Materialized<KO, i64>) -> KTable<KO, i64> {
        self.valued(|_| (), Unit.into_serde()).build(
            "count-table",
            materialized,
            Arc::new(|_, (), row| Some(row.unwrap_or(&0).wrapping_add(1))),
            Arc::new(|_, (), row| Some(row.wrapping_sub(1))),
        )
    }

    /// Combines each group's values: `add` takes one in (the first is taken as it is), `subtract`
    /// takes one out. Both get the aggregate first.
    pub fn reduce(
        &self,
        materialized: &Materialized<KO, VO>,
        add: impl Fn(&VO, &VO) -> VO + Send + Sync + 'static,
        subtract: impl Fn(&VO, &VO) -> VO + Send + Sync + 'static,
    ) -> KTable<KO, VO>
    where
        VO: Clone,
    {
        let known = self.value_serde_or(Some(Arc::clone(&materialized.value)));
        let add = move |_: &KO, value: &VO, row: Option<&VO>| {
            Some(row.map_or_else(|| value.clone(), |row| add(row, value)))
        };
        let subtract = move |_: &KO, value: &VO, row: &VO| Some(subtract(row, value));
        self.build_with("reduce-table", materialized, known, (Arc::new(add), Arc::new(subtract)))
    }

    /// Adds each value to the aggregate of its group, which begins as `init()`, and subtracts those
    /// that leave. The results are an `A`, or an `Option<A>` where `None` deletes the row.
    pub fn aggregate<A: 'static, R: AggregateResult<A>, S: AggregateResult<A>>(
        &self,
        materialized: &Materialized<KO, A>,
        init: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&KO, &VO, &A) -> R + Send + Sync + 'static,
        subtract: impl Fn(&KO, &VO, &A) -> S + Send + Sync + 'static,
    ) -> KTable<KO, A> {
        let add = super::aggregate::from_init(init, add);
        let subtract = move |key: &KO, value: &VO, row: &A| subtract(key, value, row).into_row();
        self.build("aggregate-table", materialized, Arc::new(add), Arc::new(subtract))
    }

    fn build<A: 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<KO, A>,
        add: Add<KO, VO, A>,
        subtract: Subtract<KO, VO, A>,
    ) -> KTable<KO, A> {
        self.build_with(kind, materialized, self.value_serde_or(None), (add, subtract))
    }

    fn build_with<A: 'static>(
        &self,
        kind: &'static str,
        materialized: &Materialized<KO, A>,
        values: Option<state_stores::Serde<VO>>,
        (add, subtract): (Add<KO, VO, A>, Subtract<KO, VO, A>),
    ) -> KTable<KO, A> {
        let input = self.messages(&materialized.name, &materialized.key, values.clone());
        let store = materialized.clone();
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let rows = KeptRows::open(assembly, id, &store);
            let values = values.as_ref().expect("a flow without this codec isn't built");
            let decoders = [values.decoder(), values.decoder()];
            let (add, subtract) = (Arc::clone(&add), Arc::clone(&subtract));
            let node = TableAggregate { id, add, subtract, decoders, rows };
            assembly.install::<KO, [u8]>(id, node);
        };
        let stores = [materialized.declare(StoreKind::KeyValue)];
        let named = (&*materialized.name, kind);
        let node = table_node(&input.flow, named, input.node, stores, Box::new(build));
        let (view, serdes) = (View::of(materialized), Serdes::of_store(materialized));
        KTable::new(&input.flow, node, Some(view), serdes)
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{DriverOptions, Materialized, StreamsBuilder, TopologyError, TopologyTestDriver};

    fn store(name: &str) -> Materialized<str, i64> {
        Materialized::as_(name, Utf8, I64Be)
    }

    #[test]
    fn a_row_moves_between_groups_that_live_in_other_tasks() {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("in"));
        let grouped = table.group_by::<str, i64>(|_, n| (format!("g{}", n % 10), *n));
        grouped.reduce(&store("sums"), |sum, n| sum + n, |sum, n| sum - n);
        grouped.count(&store("counts")).to_stream().to(&numbers("out"));
        let options = DriverOptions { partitions: 3, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        driver.input(&numbers("in")).pipe("a", &21);
        driver.input(&numbers("in")).pipe("b", &11);
        driver.restart();
        driver.input(&numbers("in")).pipe("a", &32);
        driver.input(&numbers("in")).pipe("b", &31);
        driver.input(&numbers("in")).pipe_tombstone("a");
        let rows = ["g1", "g2"].map(|group| driver.table_row(&store("sums"), group));
        assert_eq!(rows, [Some(31), Some(0)]);
        let counts = driver.output(&numbers("out")).read_key_values();
        assert_eq!(counts[..2], [pair("g1", 1), pair("g1", 2)]);
        assert_eq!(counts.last(), Some(&pair("g2", 0)));
    }

    #[test]
    fn values_need_a_codec_on_their_way() {
        let builder = StreamsBuilder::new("test");
        let grouped =
            builder.table("t", &numbers("in")).group_by::<str, i64>(|k, n| (k.to_owned(), *n));
        grouped.aggregate(&store("a"), || 0, |_, n, sum| sum + n, |_, n, sum| sum - n);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "a".into(), part: "value" });
    }
}
