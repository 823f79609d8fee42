//! `join`, `left_join`, `outer_join` of two tables by key (J14–J16).
//!
//! Both sides trigger. The result's time is the later of both rows'. Nothing is
//! kept: who reads the result's rows joins those of both sides. Where both
//! sides change with one table, what the result was before isn't known unless it
//! is materialized, and a deletion may come out twice. (In Kafka Streams the
//! deletion of such an inner join's row is lost.)

use std::sync::Arc;

use state_stores::{StoreError, TaskState};

use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::stream::Serdes;
use crate::table::KTable;
use crate::topology::TopologyError;
use crate::view::{Rows, Show, View};

/// The joined row of both sides' rows, if these make one.
type Join<L, R, VO> = Arc<dyn Fn(Option<&L>, Option<&R>) -> Option<VO> + Send + Sync>;

/// The changes of one side, joined with the other side's rows.
struct Side<K: ?Sized, V: ?Sized, O: ?Sized, VO> {
    others: Box<dyn Rows<K, O>>,
    join: Join<V, O, VO>,
    /// Whether a row of this side may have made a result though the other's isn't there: because
    /// it does without, or because the record at work has just taken the other away.
    needs_old: bool,
    next: TableEdge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, O: ?Sized, VO> Changes<K, V> for Side<K, V, O, VO> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Change { record, old, superseded } = change;
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        if superseded {
            return Ok(());
        }
        let (join, wants_old) = (&self.join, self.next.wants_old());
        let nothing_was = !self.needs_old || (record.value.is_none() && old.is_none());
        let joined = self.others.read_with(&ctx.state, key, |other| {
            if other.is_none() && nothing_was {
                return None;
            }
            let timestamp = other.map_or(record.timestamp, |(_, time)| time.max(record.timestamp));
            let other = other.map(|(other, _)| other);
            let before = if wants_old { join(old, other) } else { None };
            Some((join(record.value, other), before, timestamp))
        })?;
        let Some((new, old, timestamp)) = &joined else { return Ok(()) };
        let record = record.with_value(new.as_ref()).with_timestamp(*timestamp);
        self.next.change(Change { record, old: old.as_ref(), superseded: false }, ctx)
    }

    fn wants_old(&self) -> bool {
        self.needs_old || self.next.wants_old()
    }
}

/// Where both sides' results meet.
struct Both<K: ?Sized, V: ?Sized>(TableEdge<K, V>);

impl<K: ?Sized, V: ?Sized> Changes<K, V> for Both<K, V> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.change(change, ctx)
    }

    fn wants_old(&self) -> bool {
        self.0.wants_old()
    }
}

struct JoinedRows<K: ?Sized, L: ?Sized, R: ?Sized, VO> {
    left: Box<dyn Rows<K, L>>,
    right: Box<dyn Rows<K, R>>,
    join: Join<L, R, VO>,
}

impl<K: ?Sized, L: ?Sized, R: ?Sized, VO> Rows<K, VO> for JoinedRows<K, L, R, VO> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, VO>,
    ) -> Result<(), StoreError> {
        let (right, join) = (&mut self.right, &self.join);
        self.left.read_with(state, key, |left| {
            right.read(state, key, &mut |right| {
                let time = left.map(|(_, time)| time).max(right.map(|(_, time)| time));
                let joined = join(left.map(|(row, _)| row), right.map(|(row, _)| row));
                read(joined.as_ref().zip(time));
            })
        })?
    }
}

/// Which sides' rows make a result by themselves.
struct Preserved {
    left: bool,
    right: bool,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// The rows of keys that both tables have.
    pub fn join<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        other: &KTable<K, R>,
        join: impl Fn(&V, &R) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        let join = move |left: Option<&V>, right: Option<&R>| {
            left.zip(right).map(|(left, right)| join(left, right))
        };
        let preserved = Preserved { left: false, right: false };
        self.join_tables((name, "join-tables"), other, Arc::new(join), &preserved)
    }

    /// The rows of this table, each with the other's row of its key or with none.
    pub fn left_join<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        other: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        let join = move |left: Option<&V>, right: Option<&R>| left.map(|left| join(left, right));
        let preserved = Preserved { left: true, right: false };
        self.join_tables((name, "left-join-tables"), other, Arc::new(join), &preserved)
    }

    /// The rows of keys that either table has; at least one side is there.
    pub fn outer_join<R: ?Sized + 'static, VO: 'static>(
        &self,
        name: &str,
        other: &KTable<K, R>,
        join: impl Fn(Option<&V>, Option<&R>) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO> {
        let join = move |left: Option<&V>, right: Option<&R>| {
            (left.is_some() || right.is_some()).then(|| join(left, right))
        };
        let preserved = Preserved { left: true, right: true };
        self.join_tables((name, "outer-join-tables"), other, Arc::new(join), &preserved)
    }

    fn join_tables<R: ?Sized + 'static, VO: 'static>(
        &self,
        (name, kind): (&str, &'static str),
        other: &KTable<K, R>,
        join: Join<V, R, VO>,
        preserved: &Preserved,
    ) -> KTable<K, VO> {
        let key = self.serdes.key.clone().or_else(|| other.serdes.key.clone());
        let serdes = Serdes { key, value: None };
        if !other.is_of(&self.flow, name) {
            return KTable::new(&self.flow, self.node, None, serdes);
        }
        if name.is_empty() {
            self.flow.borrow_mut().unnamed(kind, &[self.node]);
        }
        let missing = || {
            let problem = TopologyError::NotMaterialized { operator: name.to_owned() };
            self.flow.borrow_mut().problems.push(problem);
        };
        let (Some(left), Some(right)) = (self.view.clone(), other.view.clone()) else {
            missing();
            return KTable::new(&self.flow, self.node, None, serdes);
        };
        let one_root = left.shares_roots(&right);
        let needs_old = [preserved.left || one_root, preserved.right || one_root];
        if (needs_old[0] && !left.knows_old()) || (needs_old[1] && !right.knows_old()) {
            missing();
        }
        let flipped = Arc::clone(&join);
        let flipped: Join<R, V, VO> = Arc::new(move |right, left| flipped(left, right));
        let sides = [
            side(self, (name, "left"), &right, &join, needs_old[0]),
            side(other, (name, "right"), &left, &flipped, needs_old[1]),
        ];
        let build = |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let next = assembly.table_downstream::<K, VO>(id);
            assembly.install_table::<K, VO>(id, Both(next));
        };
        let kind = NodeKind::Operator(kind);
        let node = self.flow.borrow_mut().add(Some(name), kind, &sides, Box::new(build));
        let view = left.clone().joined(&right.clone(), move |assembly| {
            let (left, right) = (left.open(assembly), right.open(assembly));
            Box::new(JoinedRows { left, right, join: Arc::clone(&join) })
        });
        KTable::new(&self.flow, node, Some(view), serdes)
    }
}

/// Adds the node that takes the changes of `table`.
fn side<K, V, O, VO>(
    table: &KTable<K, V>,
    (name, which): (&str, &str),
    others: &View<K, O>,
    join: &Join<V, O, VO>,
    needs_old: bool,
) -> NodeId
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    O: ?Sized + 'static,
    VO: 'static,
{
    let (stores, others, join) = (others.stores.clone(), others.clone(), Arc::clone(join));
    let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
        let next = assembly.table_downstream::<K, VO>(id);
        let (others, join) = (others.open(assembly), Arc::clone(&join));
        assembly.install_table::<K, V>(id, Side { others, join, needs_old, next });
    };
    let mut graph = table.flow.borrow_mut();
    let kind = NodeKind::Operator("join-side");
    let name = (!name.is_empty()).then(|| format!("{name}-{which}"));
    let node = graph.add(name.as_deref(), kind, &[table.node], Box::new(build));
    graph.nodes[node.0].stores.extend(stores);
    node
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{Materialized, StreamsBuilder, TopologyError, TopologyTestDriver};

    #[test]
    fn a_join_can_be_filtered_grouped_and_read() {
        let builder = StreamsBuilder::new("test");
        let (left, right) =
            (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        let sums = left.outer_join("sums", &right, |l, r| l.unwrap_or(&0) + r.unwrap_or(&0));
        let store = Materialized::as_("total", Utf8, I64Be);
        let positive = sums.filter(|_, n| *n > 0);
        let grouped = positive.group_by::<str, i64>(|_, n| ("all".to_owned(), *n));
        grouped.reduce(&store, |sum, n| sum + n, |sum, n| sum - n).to_stream().to(&numbers("out"));
        let stream = builder.stream(&numbers("in"));
        stream.join("read", &positive, |_, n| *n).to(&numbers("reads"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("left")).pipe("a", &10);
        driver.input(&numbers("right")).pipe("a", &5);
        driver.restart();
        driver.input(&numbers("right")).pipe("b", &-1);
        driver.input(&numbers("left")).pipe("b", &3);
        driver.input(&numbers("left")).pipe_tombstone("a");
        for key in ["a", "b"] {
            driver.input(&numbers("in")).pipe(key, &0);
        }
        let totals = [10, 15, 17, 7].map(|n| pair("all", n));
        assert_eq!(driver.output(&numbers("out")).read_key_values(), totals);
        assert_eq!(driver.output(&numbers("reads")).read_values(), [5, 2]);
    }

    #[test]
    fn topics_of_joined_tables_must_have_one_partition_count() {
        let builder = StreamsBuilder::new("test");
        let (left, right) =
            (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        left.join("j", &right, |l, r| l + r)
            .to_stream()
            .with_value_serde(I64Be)
            .to(&numbers("out"));
        let topology = builder.build().unwrap();
        assert_eq!(topology.subtopologies().len(), 1);
        let counts = |topic: &str| Some(if topic == "left" { 4 } else { 6 });
        let text = topology.check_partitions(&counts).unwrap_err().to_string();
        for part in ["`left` (4 partitions)", "`right` (6 partitions)"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_join_is_named_and_of_one_builder() {
        let builder = StreamsBuilder::new("test");
        let (left, right) =
            (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        left.join("", &right, |l, r| l + r);
        assert!(matches!(builder.build().unwrap_err(), TopologyError::Unnamed { .. }));
        let (one, other) = (StreamsBuilder::new("one"), StreamsBuilder::new("other"));
        let foreign = other.table("r", &numbers("right"));
        one.table("l", &numbers("left")).join("j", &foreign, |l, r| l + r);
        let error = one.build().unwrap_err();
        assert_eq!(error, TopologyError::TwoBuilders { operator: "j".into() });
    }
}
