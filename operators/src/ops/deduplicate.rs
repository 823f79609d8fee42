//! `deduplicate_by_key`, `deduplicate_by_key_value`: the first record of each key, or of each id, in an interval (D12,
//! KIP-655).
//!
//! An interval begins at the timestamp of the record that is let through, and is over when stream time is further than
//! that beyond it; duplicates don't prolong it. Stream time is the operator's own and durable; every record moves it.
//! A record further behind stream time than the interval is let through, and begins none: what its interval held is
//! forgotten.
//!
//! ```text
//! <name>  id | timestamp of the record let through → nothing       (a window store: it forgets by itself)
//! id      key, or: length of the key (4 bytes, big-endian) | key | id
//! ```

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{CodecError, RawBytes, Serde, StoreKind, Unit, WindowStore};

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind, StoreDecl};
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;
use crate::stream_time::StreamTime;
use crate::topic::IntoSerde;
use crate::topology::TopologyError;

/// Appends what makes a record of this key one of a kind; false: nothing does.
type Identify<K, V> = dyn FnMut(&K, Option<&V>, &mut Vec<u8>) -> Result<bool, CodecError> + Send;

/// Makes a task's own [`Identify`].
type MakeIdentify<K, V> = dyn Fn() -> Box<Identify<K, V>> + Send + Sync;

struct Deduplicate<K: ?Sized, V: ?Sized> {
    id: NodeId,
    interval_ms: i64,
    identify: Box<Identify<K, V>>,
    bytes: Vec<u8>,
    time: StreamTime,
    seen: WindowStore<[u8], ()>,
    next: Edge<K, V>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Deduplicate<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let timestamp = record.timestamp;
        let now = self.time.advance(&mut ctx.state, timestamp)?.now;
        let Some(key) = record.key else { return self.next.process(record, ctx) };
        self.bytes.clear();
        let identified = (self.identify)(key, record.value, &mut self.bytes);
        if !identified.map_err(|error| Failure::node(self.id, error))? {
            return self.next.process(record, ctx);
        }
        let (since, mut first) = (now.saturating_sub(self.interval_ms), None);
        self.seen.backward_fetch(&ctx.state, &self.bytes, since..=now, |time, &(), _| {
            first = Some(time);
            ControlFlow::Break(())
        })?;
        match first {
            Some(first) if first.saturating_sub(timestamp) <= self.interval_ms => {
                ctx.dropped.duplicates += 1;
                return Ok(());
            }
            None if timestamp >= since => {
                self.seen.put(&mut ctx.state, &self.bytes, timestamp, Some((&(), timestamp)))?;
            }
            _ => {}
        }
        self.next.process(record, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Lets the first record of each key through and drops the others of the next `interval_ms` (> 0) of stream time,
    /// whatever their values. Records without key go through.
    ///
    /// # Panics
    /// When the interval isn't positive.
    pub fn deduplicate_by_key(&self, name: &str, interval_ms: i64) -> Self {
        self.deduplicated(name, interval_ms, |key| {
            let keys = Arc::clone(key);
            let make = move || {
                let mut keys = keys.encoder();
                let identify = move |key: &K, _: Option<&V>, out: &mut Vec<u8>| {
                    keys.encode(key, out).map(|()| true)
                };
                Box::new(identify) as Box<Identify<K, V>>
            };
            (key.format().to_owned(), Arc::new(make))
        })
    }

    /// As [`Self::deduplicate_by_key`], of records that have key and the id that `select` gives in common, which is
    /// written with `ids`. Records without key, value or id go through.
    ///
    /// # Panics
    /// See [`Self::deduplicate_by_key`].
    pub fn deduplicate_by_key_value<I: ?Sized + ToOwned + 'static>(
        &self,
        name: &str,
        interval_ms: i64,
        ids: impl IntoSerde<I>,
        select: impl Fn(&K, &V) -> Option<I::Owned> + Send + Sync + 'static,
    ) -> Self {
        let (ids, select) = (ids.into_serde(), Arc::new(select));
        self.deduplicated(name, interval_ms, |key| {
            let format = format!("{}-{}", key.format(), ids.format());
            let keys = Arc::clone(key);
            let make = move || {
                let (mut keys, mut ids) = (keys.encoder(), ids.encoder());
                let select = Arc::clone(&select);
                let identify = move |key: &K, value: Option<&V>, out: &mut Vec<u8>| {
                    let Some(id) = value.and_then(|value| select(key, value)) else {
                        return Ok(false);
                    };
                    out.extend_from_slice(&[0; 4]);
                    keys.encode(key, out)?;
                    let length = u32::try_from(out.len() - 4)
                        .map_err(|_| CodecError::new("id", "the key is longer than 4 GiB"))?;
                    out[..4].copy_from_slice(&length.to_be_bytes());
                    ids.encode(std::borrow::Borrow::borrow(&id), out).map(|()| true)
                };
                Box::new(identify) as Box<Identify<K, V>>
            };
            (format, Arc::new(make))
        })
    }

    /// `identified` gives the format of the ids and what writes them.
    fn deduplicated(
        &self,
        name: &str,
        interval_ms: i64,
        identified: impl FnOnce(&Serde<K>) -> (String, Arc<MakeIdentify<K, V>>),
    ) -> Self {
        assert!(interval_ms > 0, "an interval of deduplication must be positive");
        let Some(key) = self.serdes.key.clone() else {
            self.problem(TopologyError::NoSerde { operator: name.to_owned(), part: "key" });
            return self.clone();
        };
        let input = self.through_if_rekeyed(name, false);
        let (format, identify) = identified(&key);
        let store: Arc<str> = Arc::from(name);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let (bytes, nothing): (Serde<[u8]>, Serde<()>) = (Arc::new(RawBytes), Arc::new(Unit));
            let node = Deduplicate {
                id,
                interval_ms,
                identify: identify(),
                bytes: Vec::new(),
                time: StreamTime(assembly.store(&StreamTime::store_name(&store))),
                seen: WindowStore::new(assembly.store(&store), &bytes, &nothing),
                next: assembly.downstream::<K, V>(id),
            };
            assembly.install::<K, V>(id, node);
        };
        let mut graph = input.flow.borrow_mut();
        let kind = NodeKind::Operator("deduplicate");
        let node = graph.add(Some(name), kind, &[input.node], Box::new(build));
        // Rows of `now - interval` still count.
        let retention_ms = interval_ms.saturating_add(1);
        graph.declare(
            node,
            StoreDecl::internal(
                name,
                StoreKind::Window { retention_ms, duplicates: false },
                (format, "unit".to_owned()),
            ),
        );
        graph.declare(node, StreamTime::declare(name));
        drop(graph);
        input.at(node)
    }
}

#[cfg(test)]
mod tests {
    use state_stores::StoreKind;

    use crate::codec::{I64Be, Utf8};
    use crate::testing::{SAMPLE, numbers, pair, through};
    use crate::{DriverOptions, Headers, StreamsBuilder, TopologyError, TopologyTestDriver};

    fn by_key() -> TopologyTestDriver {
        let builder = StreamsBuilder::new("test");
        builder.stream(&numbers("in")).deduplicate_by_key("first", 100).to(&numbers("out"));
        TopologyTestDriver::new(&builder.build().unwrap())
    }

    #[test]
    fn an_interval_begins_at_its_first_record_and_isnt_prolonged() {
        let driver = by_key();
        for (n, time) in [(1, 1000), (2, 1050), (3, 1100)] {
            driver.input(&numbers("in")).pipe_at("k", &n, time);
        }
        driver.restart();
        driver.input(&numbers("in")).try_pipe(Some("k"), None, 1100, &Headers::new()).unwrap();
        driver.input(&numbers("in")).pipe_at("k", &4, 1101);
        driver.input(&numbers("in")).pipe_at("k", &5, 1101);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 4]);
        assert_eq!(driver.dropped().duplicates, 2, "since the restart: the tombstone and 5");
    }

    #[test]
    fn a_record_out_of_order_is_a_duplicate_or_too_late_to_tell() {
        let driver = by_key();
        driver.input(&numbers("in")).pipe_at("k", &1, 1000);
        driver.input(&numbers("in")).pipe_at("k", &2, 900);
        driver.input(&numbers("in")).pipe_at("k", &3, 899);
        driver.input(&numbers("in")).pipe_at("late", &4, 850);
        driver.input(&numbers("in")).pipe_at("late", &5, 850);
        driver.input(&numbers("in")).pipe_at("in time", &6, 900);
        driver.restart();
        driver.input(&numbers("in")).pipe_at("in time", &7, 1000);
        let out = driver.output(&numbers("out")).read_values();
        assert_eq!(out, [1, 3, 4, 5, 6], "too late begins no interval");
    }

    #[test]
    fn incomplete_records_pass() {
        let all = [SAMPLE, SAMPLE].concat();
        let (out, dropped) = through(|stream| stream.deduplicate_by_key("d", 100), &all);
        let nothing = (None, None);
        let once = [pair("a", 1), pair("b", 2), (None, Some(3)), (Some("c".into()), None)];
        let expected = [&once[..], &[nothing.clone(), (None, Some(3)), nothing]].concat();
        assert_eq!((out, dropped.duplicates), (expected, 3));
        let id = |_: &str, n: &i64| (*n > 1).then_some(*n);
        let flow = |stream: crate::KStream<str, i64>| {
            stream.deduplicate_by_key_value::<i64>("d", 100, I64Be, id)
        };
        let (out, dropped) = through(flow, &all);
        assert_eq!((out.len(), dropped.duplicates), (9, 1), "only b's record has an id");
    }

    #[test]
    fn ids_are_of_their_key_and_a_new_key_is_repartitioned() {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in")).select_key::<str>(|_, n| (n % 2).to_string());
        let stream = stream.with_key_serde(Utf8);
        let first = stream.deduplicate_by_key_value::<str>("first", 1000, Utf8, |_, n| {
            Some((n / 10).to_string())
        });
        first.to(&numbers("out"));
        let topology = builder.build().unwrap();
        let options = DriverOptions { partitions: 3, ..Default::default() };
        let driver = TopologyTestDriver::with(&topology, options);
        for n in [10, 11, 12, 21, 25, 13] {
            driver.input(&numbers("in")).pipe(&format!("key {n}"), &n);
        }
        let mut out = driver.output(&numbers("out")).read_values();
        out.sort();
        assert_eq!(out, [10, 11, 21]);
        assert_eq!(&*topology.internal_topics()[0].name, "test-first-repartition");
        let kind = StoreKind::Window { retention_ms: 1001, duplicates: false };
        assert_eq!(topology.subtopologies()[1].stores[0].kind, kind, "what is over is forgotten");
    }

    #[test]
    fn keys_need_a_codec() {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in")).select_key::<i64>(|_, n| *n);
        stream.deduplicate_by_key("d", 1);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoSerde { operator: "d".into(), part: "key" });
    }
}
