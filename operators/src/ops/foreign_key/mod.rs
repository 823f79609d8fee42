//! `join_foreign_key`, `left_join_foreign_key`: two tables by a key in the left one's rows (J17–J21, KIP-213).
//!
//! ```text
//! left table ─ <name>-subscribe ──→ <name>-subscription ──→ <name>-subscriptions ─┐
//!                                                                                 ├─→ <name>-response ──→ <name>
//! right table ──────────────────────────────────────────────→ <name>-foreign ─────┘
//! ```
//!
//! Both arrows in the middle are repartition topics: to the task of the foreign
//! key, and back to the task of the left key. Answers carry a hash of the left
//! row they were asked for, so that one which was overtaken is dropped.
//!
//! Every left row gets an answer, also where an inner join has nothing to say:
//! the answer that took back what an older row had joined may have been
//! overtaken. (Kafka Streams leaves such a result standing.)

mod left;
mod message;
mod right;

use std::sync::Arc;

use state_stores::{RawBytes, Serde, StoreKind};

use self::left::{ForeignKey, Join, Resolve, Subscribe};
use self::right::{Answers, Foreign, Subscriptions};
use crate::assembly::Assembly;
use crate::builder::Flow;
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::materialized::Materialized;
use crate::ops::kept_rows::KeptRows;
use crate::ops::table_nodes::table_node;
use crate::stream::{KStream, Serdes};
use crate::table::KTable;
use crate::topic::IntoSerde;
use crate::topology::TopologyError;
use crate::view::View;

/// The codecs of both sides.
struct Codecs<K: ?Sized, V: ?Sized, FK: ?Sized, R: ?Sized> {
    key: Serde<K>,
    value: Serde<V>,
    foreign_key: Serde<FK>,
    right: Serde<R>,
}

/// A foreign-key join while it is wired.
struct Wiring<'a, K: ?Sized, V: ?Sized, FK: ?Sized, R: ?Sized> {
    name: &'a str,
    flow: &'a Flow,
    left: &'a KTable<K, V>,
    right: &'a KTable<FK, R>,
    left_view: View<K, V>,
    right_view: View<FK, R>,
    codecs: Arc<Codecs<K, V, FK, R>>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// The rows that refer, by `foreign_key`, to a row of `other`, each with that row. The result is
    /// kept in a store; all names derive from that store's.
    pub fn join_foreign_key<FK, R, VO>(
        &self,
        materialized: &Materialized<K, VO>,
        other: &KTable<FK, R>,
        foreign_key: impl Fn(&K, &V) -> Option<FK::Owned> + Send + Sync + 'static,
        join: impl Fn(&V, &R) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO>
    where
        FK: ?Sized + ToOwned + 'static,
        R: ?Sized + 'static,
        VO: 'static,
    {
        let join = move |left: Option<&V>, right: Option<&R>| {
            left.zip(right).map(|(left, right)| join(left, right))
        };
        self.join_foreign(materialized, other, (Arc::new(foreign_key), Arc::new(join)), false)
    }

    /// All rows, each with the row of `other` that it refers to by `foreign_key`, or with none.
    pub fn left_join_foreign_key<FK, R, VO>(
        &self,
        materialized: &Materialized<K, VO>,
        other: &KTable<FK, R>,
        foreign_key: impl Fn(&K, &V) -> Option<FK::Owned> + Send + Sync + 'static,
        join: impl Fn(&V, Option<&R>) -> VO + Send + Sync + 'static,
    ) -> KTable<K, VO>
    where
        FK: ?Sized + ToOwned + 'static,
        R: ?Sized + 'static,
        VO: 'static,
    {
        let join = move |left: Option<&V>, right: Option<&R>| left.map(|left| join(left, right));
        self.join_foreign(materialized, other, (Arc::new(foreign_key), Arc::new(join)), true)
    }

    fn join_foreign<FK, R, VO>(
        &self,
        materialized: &Materialized<K, VO>,
        other: &KTable<FK, R>,
        (foreign_key, join): (ForeignKey<K, V, FK>, Join<V, R, VO>),
        left_join: bool,
    ) -> KTable<K, VO>
    where
        FK: ?Sized + ToOwned + 'static,
        R: ?Sized + 'static,
        VO: 'static,
    {
        if materialized.name.is_empty() {
            self.flow.borrow_mut().unnamed("join_foreign_key", &[self.node]);
        }
        match self.wiring(materialized, other) {
            Ok(wiring) => {
                let asked = wiring.subscribe(foreign_key, left_join, materialized);
                let answered = wiring.answer(&asked).merge(&wiring.follow());
                let back = answered.repartition(format!("{}-response", wiring.name));
                wiring.resolve(&back, materialized, join, left_join)
            }
            Err(problem) => {
                self.flow.borrow_mut().problems.push(problem);
                let serdes = Serdes::of_store(materialized);
                KTable::new(&self.flow, self.node, None, serdes)
            }
        }
    }

    /// Finds all that the join needs, or says what is missing.
    fn wiring<'a, FK, R, VO>(
        &'a self,
        materialized: &'a Materialized<K, VO>,
        right: &'a KTable<FK, R>,
    ) -> Result<Wiring<'a, K, V, FK, R>, TopologyError>
    where
        FK: ?Sized + 'static,
        R: ?Sized + 'static,
        VO: 'static,
    {
        let operator = || materialized.name.to_string();
        if !right.is_of(&self.flow, &materialized.name) {
            return Err(TopologyError::TwoBuilders { operator: operator() });
        }
        let codec = |part| move || TopologyError::NoSerde { operator: operator(), part };
        let codecs = Codecs {
            key: self.serdes.key.clone().unwrap_or_else(|| materialized.key.clone()),
            value: self.serdes.value.clone().ok_or_else(codec("value"))?,
            foreign_key: right.serdes.key.clone().ok_or_else(codec("key"))?,
            right: right.serdes.value.clone().ok_or_else(codec("value"))?,
        };
        let missing = || TopologyError::NotMaterialized { operator: operator() };
        Ok(Wiring {
            name: &materialized.name,
            flow: &self.flow,
            left: self,
            right,
            left_view: self.view.clone().filter(View::knows_old).ok_or_else(missing)?,
            right_view: right.view.clone().ok_or_else(missing)?,
            codecs: Arc::new(codecs),
        })
    }
}

type Messages<K> = KStream<K, [u8]>;

impl<K, V, FK, R> Wiring<'_, K, V, FK, R>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
    FK: ?Sized + ToOwned + 'static,
    R: ?Sized + 'static,
{
    /// From the left table to the tasks of the foreign keys.
    fn subscribe<VO: 'static>(
        &self,
        foreign_key: ForeignKey<K, V, FK>,
        left_join: bool,
        result: &Materialized<K, VO>,
    ) -> Messages<FK> {
        let (codecs, name) = (Arc::clone(&self.codecs), Arc::clone(&result.name));
        let (result, result_keys) = (Arc::clone(&name), Arc::clone(&result.key));
        let build = move |assembly: &mut Assembly<'_>, id| {
            let next = assembly.downstream::<FK, [u8]>(id);
            let node = Subscribe {
                id,
                foreign_key: Arc::clone(&foreign_key),
                left_join,
                keys: codecs.key.encoder(),
                values: codecs.value.encoder(),
                foreign_keys: codecs.foreign_key.encoder(),
                results: (assembly.store(&result), result_keys.encoder()),
                scratch: Default::default(),
                next,
            };
            assembly.install_table::<K, V>(id, node);
        };
        let key = Some(Arc::clone(&self.codecs.foreign_key));
        let node = self.node("subscribe", self.left.node, build);
        self.flow.borrow_mut().nodes[node.0].stores.push(name);
        let serdes = Serdes { key, value: Some(RawBytes.into_serde()) };
        // Without key are rows that refer to nothing; a left join answers them, too.
        let messages = KStream::new(self.flow, node, serdes, true);
        messages.through(&format!("{}-subscription", self.name).into(), false)
    }

    /// Keeps the subscriptions and answers them.
    fn answer(&self, asked: &Messages<FK>) -> Messages<[u8]> {
        let (answers, rights) = (self.answers(), self.right_view.clone());
        let build = move |assembly: &mut Assembly<'_>, id| {
            let answers = answers(assembly, id);
            let node = Subscriptions { rights: rights.open(assembly), answers };
            assembly.install::<FK, [u8]>(id, node);
        };
        let node = self.node("subscriptions", asked.node, build);
        let mut graph = self.flow.borrow_mut();
        let (name, bytes) = (self.store(), || "bytes".to_owned());
        let formats = (self.codecs.foreign_key.format().to_owned(), bytes());
        graph.declare(node, StoreDecl::internal(name, StoreKind::KeyValue, formats));
        graph.nodes[node.0].stores.extend(self.right_view.stores.iter().cloned());
        drop(graph);
        self.bytes(node)
    }

    /// Answers again when the right table changes.
    fn follow(&self) -> Messages<[u8]> {
        let answers = self.answers();
        let build = move |assembly: &mut Assembly<'_>, id| {
            let (answers, left_keys, batch) = (answers(assembly, id), Vec::new(), Vec::new());
            assembly.install_table::<FK, R>(id, Foreign { answers, left_keys, batch });
        };
        let node = self.node("foreign", self.right.node, build);
        self.flow.borrow_mut().nodes[node.0].stores.push(self.store().into());
        self.bytes(node)
    }

    /// Joins the answers, back in the tasks of the left keys.
    fn resolve<VO: 'static>(
        &self,
        back: &Messages<[u8]>,
        materialized: &Materialized<K, VO>,
        join: Join<V, R, VO>,
        left_join: bool,
    ) -> KTable<K, VO> {
        let (codecs, lefts) = (Arc::clone(&self.codecs), self.left_view.clone());
        let result = materialized.clone();
        let build = move |assembly: &mut Assembly<'_>, id| {
            let node = Resolve {
                id,
                lefts: lefts.open(assembly),
                join: Arc::clone(&join),
                keys: codecs.key.decoder(),
                values: codecs.value.encoder(),
                rights: codecs.right.decoder(),
                scratch: Vec::new(),
                rows: KeptRows::open(assembly, id, &result),
            };
            assembly.install::<[u8], [u8]>(id, node);
        };
        let kind = if left_join { "left-join-foreign-key" } else { "join-foreign-key" };
        let stores = [materialized.declare(StoreKind::KeyValue)];
        let node = table_node(self.flow, (self.name, kind), back.node, stores, Box::new(build));
        let lefts = self.left_view.stores.iter().cloned();
        self.flow.borrow_mut().nodes[node.0].stores.extend(lefts);
        let serdes = Serdes::of_store(materialized);
        KTable::new(self.flow, node, Some(View::of(materialized)), serdes)
    }

    /// `<name>-subscriptions`
    fn store(&self) -> String {
        format!("{}-subscriptions", self.name)
    }

    /// Makes what both right-hand nodes answer with.
    fn answers(
        &self,
    ) -> impl Fn(&mut Assembly<'_>, NodeId) -> Answers<FK, R> + Send + Sync + 'static {
        let (codecs, store) = (Arc::clone(&self.codecs), self.store());
        move |assembly, id| Answers {
            id,
            store: assembly.store(&store),
            foreign_keys: codecs.foreign_key.encoder(),
            values: codecs.right.encoder(),
            encoded: Vec::new(),
            prefix: Vec::new(),
            message: Vec::new(),
            next: assembly.downstream::<[u8], [u8]>(id),
        }
    }

    fn node(
        &self,
        part: &'static str,
        parent: NodeId,
        build: impl Fn(&mut Assembly<'_>, NodeId) + Send + Sync + 'static,
    ) -> NodeId {
        let name = format!("{}-{part}", self.name);
        let kind = NodeKind::Operator(part);
        self.flow.borrow_mut().add(Some(&name), kind, &[parent], Box::new(build))
    }

    fn bytes(&self, node: NodeId) -> Messages<[u8]> {
        let serdes =
            Serdes { key: Some(RawBytes.into_serde()), value: Some(RawBytes.into_serde()) };
        KStream::new(self.flow, node, serdes, true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::codec::{I64Be, Utf8};
    use crate::testing::{Pair, numbers, pair};
    use crate::{
        DriverOptions, KTable, Materialized, StreamsBuilder, TopologyError, TopologyTestDriver,
    };

    /// Left rows refer to `r<tens>`.
    fn refer(_: &str, n: &i64) -> Option<String> {
        (*n >= 10).then(|| format!("r{}", n / 10))
    }

    fn join(left: &KTable<str, i64>, right: &KTable<str, i64>) -> KTable<str, i64> {
        let store = Materialized::as_("j", Utf8, I64Be);
        left.join_foreign_key(&store, right, refer, |l, r| l * 1000 + r)
    }

    fn driver() -> TopologyTestDriver {
        let builder = StreamsBuilder::new("app");
        let (left, right) =
            (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        join(&left, &right).to_stream().to(&numbers("out"));
        let topology = builder.build().unwrap();
        let topics: BTreeMap<_, _> = topology
            .internal_topics()
            .into_iter()
            .map(|topic| (topic.name.to_string(), topic.partitions_like.to_string()))
            .collect();
        for (topic, like) in [
            ("app-j-subscription-repartition", "right"),
            ("app-j-subscriptions-changelog", "right"),
            ("app-j-response-repartition", "left"),
            ("app-j-changelog", "left"),
        ] {
            assert_eq!(topics.get(topic).map(String::as_str), Some(like), "{topic}");
        }
        let topic_partitions = BTreeMap::from([("left".into(), 3), ("right".into(), 5)]);
        let options = DriverOptions { topic_partitions, ..Default::default() };
        TopologyTestDriver::with(&topology, options)
    }

    #[test]
    fn rows_of_other_partition_counts_find_each_other() {
        let driver = driver();
        let keys: Vec<String> = (0..20).map(|n| format!("left {n}")).collect();
        for (n, key) in (0..).zip(&keys) {
            driver.input(&numbers("left")).pipe(key, &(10 + n));
        }
        driver.restart();
        for (key, n) in [("r1", 7), ("r2", 8)] {
            driver.input(&numbers("right")).pipe(key, &n);
        }
        let rows: BTreeMap<_, _> =
            driver.output(&numbers("out")).read_key_values().into_iter().collect();
        let expected = (0..)
            .zip(&keys)
            .map(|(n, key)| pair(key, (10 + n) * 1000 + if n < 10 { 7 } else { 8 }));
        assert_eq!(rows, expected.collect::<BTreeMap<_, _>>());
        driver.input(&numbers("right")).pipe_tombstone("r1");
        assert_eq!(driver.rows("j").len(), 10);
    }

    #[test]
    fn an_answer_that_was_overtaken_is_dropped() {
        let driver = driver();
        driver.input(&numbers("right")).pipe("r1", &7);
        driver.auto_commit(false);
        let change = |n: Option<i64>| {
            driver.input(&numbers("left")).enqueue(Some("k"), n.as_ref(), 0, &Default::default());
        };
        let hop = || {
            driver.run().unwrap();
            driver.commit();
        };
        change(Some(11));
        hop();
        hop();
        // The answer for 11 is on its way back.
        change(Some(21));
        (0..4).for_each(|_| hop());
        let seen: Vec<Pair> = driver.output(&numbers("out")).read_key_values();
        assert_eq!(seen, [(Some("k".to_owned()), None)]);
    }

    #[test]
    fn what_a_join_lacks_is_named() {
        let builder = StreamsBuilder::new("app");
        let (left, right) =
            (builder.table("l", &numbers("left")), builder.table("r", &numbers("right")));
        join(&left.map_values(|n| n + 1), &right);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "j".into(), part: "value" });
    }
}
