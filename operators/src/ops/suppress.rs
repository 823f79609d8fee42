//! `suppress`: holds a table's results back, so that fewer or only final ones go on.
//!
//! Stream time is the node's own, of the results it receives, and durable like the buffer: a restart neither loses a
//! result nor emits one twice. A later result of a key replaces the one held and keeps its place in the order.

use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder, StoreError};

use super::suppress_buffer::{self, Buffer, Entry, Row, State};
use super::suppress_view::of_held;
use crate::assembly::Assembly;
use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::record::Record;
use crate::suppressed::{Limits, Suppressed, Until};
use crate::table::KTable;
use crate::topology::TopologyError;

struct Suppress<K: ?Sized, V: ?Sized> {
    id: NodeId,
    name: Arc<str>,
    until: Until<K>,
    /// How long after its buffer time a result goes out.
    wait_ms: i64,
    limits: Limits,
    buffer: Buffer,
    coders: Coders<K, V>,
    entry: Entry,
    key: Vec<u8>,
    value: Vec<u8>,
    prior: Vec<u8>,
    /// Whether results before those held are kept.
    keeps_prior: bool,
    /// Key and value of a final result whose deletion went nowhere in this node's last call. A session that takes one
    /// more record at the moment it closes is deleted and put again; what went out last of it is this.
    outlived: Option<(Vec<u8>, Vec<u8>)>,
    next: TableEdge<K, V>,
}

struct Coders<K: ?Sized, V: ?Sized> {
    key: (Box<dyn Encoder<K>>, Box<dyn Decoder<K>>),
    value: (Box<dyn Encoder<V>>, Box<dyn Decoder<V>>),
    prior: Box<dyn Decoder<V>>,
}

impl<K: ?Sized, V: ?Sized> Changes<K, V> for Suppress<K, V> {
    fn change(&mut self, change: Change<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let record = change.record;
        let Some(key) = record.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let prior = change.old.filter(|_| self.keeps_prior);
        self.encode(key, record.value, prior)?;
        let mut held = self.buffer.load(&ctx.state)?;
        let stream_time = held.stream_time.map_or(record.timestamp, |t| t.max(record.timestamp));
        held.stream_time = Some(stream_time);
        let buffer_time = match self.until {
            Until::TimeLimit(_) => record.timestamp,
            Until::WindowCloses(end) => end(key),
        };
        let outlived = self.outlived.take().filter(|(key, _)| *key == self.key);
        let outlived = outlived.as_ref().map(|(_, value)| &value[..]);
        let (value, prior) =
            (record.value.map(|_| &self.value[..]), prior.map(|_| &self.prior[..]).or(outlived));
        let row = Row { key: &self.key, value, prior, superseded: change.superseded };
        let origin = (record.timestamp, record.headers);
        self.buffer.put(&mut ctx.state, &mut held, buffer_time, row, origin)?;
        let due = stream_time.saturating_sub(self.wait_ms);
        self.buffer.begin();
        while held.oldest().is_some_and(|time| time <= due)
            || (self.limits.emits_early && held.is_over(&self.limits) && held.oldest().is_some())
        {
            self.buffer.pop(&mut ctx.state, &mut held, &mut self.entry)?;
            self.emit(ctx)?;
        }
        self.check_size(&held)?;
        self.buffer.save(&mut ctx.state, &held);
        Ok(())
    }

    fn wants_old(&self) -> bool {
        self.keeps_prior
    }
}

impl<K: ?Sized, V: ?Sized> Suppress<K, V> {
    fn encode(&mut self, key: &K, value: Option<&V>, prior: Option<&V>) -> Result<(), Failure> {
        let (keys, values) = (&mut self.coders.key.0, &mut self.coders.value.0);
        self.key.clear();
        let mut encoded = keys.encode(key, &mut self.key);
        for (value, bytes) in [(value, &mut self.value), (prior, &mut self.prior)] {
            bytes.clear();
            if let Some(value) = value {
                encoded = encoded.and_then(|()| values.encode(value, bytes));
            }
        }
        encoded.map_err(|error| Failure::node(self.id, error))
    }

    /// Hands on what was taken from the buffer. What is final isn't deleted, and what wasn't seen neither: deletions of
    /// windows go nowhere.
    fn emit(&mut self, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Entry { key, timestamp, headers, .. } = &self.entry;
        if self.entry.value().is_none() && matches!(self.until, Until::WindowCloses(_)) {
            self.outlived = self.entry.prior().map(|prior| (key.clone(), prior.to_vec()));
            return Ok(());
        }
        let damaged =
            |source: CodecError| StoreError::Codec { store: self.name.to_string(), source };
        let key = self.coders.key.1.decode(key).map_err(damaged)?;
        let values = &mut self.coders.value.1;
        let value = self.entry.value().map(|value| values.decode(value)).transpose();
        let prior = &mut self.coders.prior;
        let prior = self.entry.prior().map(|prior_value| prior.decode(prior_value)).transpose();
        let (value, old) = (value.map_err(damaged)?, prior.map_err(damaged)?);
        let record = Record { key: Some(key), value, timestamp: *timestamp, headers };
        self.next.change(Change { record, old, superseded: self.entry.superseded() }, ctx)
    }

    fn check_size(&self, held: &State) -> Result<(), Failure> {
        if !held.is_over(&self.limits) {
            return Ok(());
        }
        let cause = format!(
            "the buffer is full with {} records of {} bytes; give it more (BufferConfig), or shorten grace or limit",
            held.records(),
            held.bytes()
        );
        Err(Failure::node(self.id, cause))
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KTable<K, V> {
    /// Holds results back: each window's until it is final ([`Suppressed::until_window_closes`], KIP-328), or each
    /// key's for some time ([`Suppressed::until_time_limit`]). The buffer is a durable store called `name`.
    ///
    /// Only results move the time that this waits for: the last ones stay until others come. Who reads the table's rows
    /// sees what went out.
    pub fn suppress(&self, name: &str, suppressed: Suppressed<K>) -> Self {
        let Suppressed { until, limits } = suppressed;
        let wait_ms = match until {
            Until::TimeLimit(limit_ms) => limit_ms,
            Until::WindowCloses(_) => {
                let after = self.flow.borrow().closes_after_ms(self.node);
                after.unwrap_or_else(|| {
                    let operator = name.to_owned();
                    self.flow.borrow_mut().problems.push(TopologyError::NoWindows { operator });
                    0
                })
            }
        };
        let (Some(key), Some(value)) = (self.serdes.key.clone(), self.serdes.value.clone()) else {
            let part = if self.serdes.key.is_none() { "key" } else { "value" };
            let operator = name.to_owned();
            self.flow.borrow_mut().problems.push(TopologyError::NoSerde { operator, part });
            return self.clone();
        };
        if self.view.as_ref().is_some_and(|view| view.history_ms.is_some()) {
            let operator = name.to_owned();
            self.flow.borrow_mut().problems.push(TopologyError::VersionedSuppress { operator });
        }
        let stores = suppress_buffer::declare(name, (key.format(), value.format()));
        let name_of_buffer: Arc<str> = Arc::from(name);
        let view = self.view.as_ref().and_then(|rows| of_held(rows, name, (&key, &value)));
        let knows_prior = view.is_some();
        let build = move |assembly: &mut Assembly<'_>, id| {
            let next = assembly.table_downstream::<K, V>(id);
            let is_read = next.wants_old() || assembly.reads_prior(&name_of_buffer);
            let stores = suppress_buffer::stores(&name_of_buffer);
            let node = Suppress {
                id,
                name: Arc::clone(&name_of_buffer),
                until,
                wait_ms,
                limits,
                buffer: Buffer::new(stores.map(|store| assembly.store(&store))),
                coders: Coders {
                    key: (key.encoder(), key.decoder()),
                    value: (value.encoder(), value.decoder()),
                    prior: value.decoder(),
                },
                entry: Entry::default(),
                key: Vec::new(),
                value: Vec::new(),
                prior: Vec::new(),
                keeps_prior: knows_prior && is_read,
                outlived: None,
                next,
            };
            assembly.install_table::<K, V>(id, node);
        };
        let mut graph = self.flow.borrow_mut();
        let kind = NodeKind::Operator("suppress");
        let node = graph.add(Some(name), kind, &[self.node], Box::new(build));
        for store in stores {
            graph.declare(node, store);
        }
        drop(graph);
        KTable::new(&self.flow, node, view, self.serdes.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{
        BufferConfig, ErrorPolicy, Headers, Materialized, StreamsBuilder, Suppressed, TimeWindows,
        Topic, TopologyError, TopologyTestDriver,
    };

    fn limited<F>(buffer: BufferConfig<F>) -> TopologyTestDriver {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("in"));
        let held = table.suppress("held", Suppressed::until_time_limit(100, buffer));
        held.to_stream().on_error(ErrorPolicy::DeadLetter).to(&numbers("out"));
        TopologyTestDriver::new(&builder.build().unwrap())
    }

    #[test]
    fn a_key_keeps_its_place_and_gets_its_newest_result_with_headers() {
        let driver = limited(BufferConfig::unbounded());
        let mut headers = Headers::new();
        headers.push("trace", b"1");
        driver.input(&numbers("in")).pipe_at("a", &1, 0);
        driver.input(&numbers("in")).try_pipe(Some("a"), Some(&2), 90, &headers).unwrap();
        driver.restart();
        driver.input(&numbers("in")).pipe_at("b", &3, 99);
        assert!(driver.output(&numbers("out")).is_empty());
        driver.input(&numbers("in")).pipe_at("c", &4, 100);
        let out = driver.output(&numbers("out")).read_records();
        assert_eq!(out.len(), 1);
        assert_eq!(
            (out[0].key.as_deref(), out[0].value, out[0].timestamp),
            (Some("a"), Some(2), 90)
        );
        assert_eq!(out[0].headers, headers);
        assert_eq!(driver.rows("held").len(), 2);
        assert_eq!(driver.rows("held-order").len(), 2);
    }

    #[test]
    fn a_full_buffer_emits_its_oldest_or_fails_the_record() {
        let eager = limited(BufferConfig::max_records(2));
        let strict = limited(BufferConfig::max_records(2).shut_down_when_full());
        for driver in [&eager, &strict] {
            for (key, time) in [("b", 2), ("a", 2), ("c", 1)] {
                driver.input(&numbers("in")).pipe_at(key, &time, time);
            }
        }
        assert_eq!(eager.output(&numbers("out")).read_key_values(), [pair("c", 1)]);
        assert!(strict.output(&numbers("out")).is_empty());
        assert_eq!(strict.dropped().dead_letters, 1);
        assert_eq!(strict.rows("held").len(), 2, "the record that didn't fit left nothing");
        let letters = Topic::<str, i64>::new("dead_letters", Utf8, I64Be);
        let letter = &strict.output(&letters).read_records()[0];
        assert_eq!(letter.key.as_deref(), Some("c"));
    }

    #[test]
    fn bytes_are_a_bound_too() {
        let driver = limited(BufferConfig::max_bytes(100));
        for n in 0..10 {
            driver.input(&numbers("in")).pipe_at(&format!("key {n}"), &n, n);
        }
        let held: usize = driver.rows("held").iter().map(|(key, row)| key.len() + row.len()).sum();
        assert!(held <= 100 && !driver.rows("held").is_empty(), "{held}");
        let out = driver.output(&numbers("out")).read_values();
        assert_eq!(out, (0..out.len() as i64).collect::<Vec<_>>());
    }

    #[test]
    fn many_results_that_are_due_at_once_go_out_in_order() {
        let driver = limited(BufferConfig::unbounded());
        let mut expected = Vec::new();
        for n in 0..2000 {
            let (key, time) = (format!("{:04}", n * 7919 % 2000), n % 100);
            driver.input(&numbers("in")).pipe_at(&key, &n, time);
            expected.push((time, key));
        }
        assert!(driver.output(&numbers("out")).is_empty());
        driver.input(&numbers("in")).pipe_at("end", &-1, 5000);
        expected.sort();
        let out = driver.output(&numbers("out")).read_records();
        let out: Vec<_> = out.into_iter().map(|r| (r.timestamp, r.key.unwrap())).collect();
        assert_eq!(out, expected);
        assert_eq!(driver.rows("held").len(), 1);
    }

    #[test]
    fn while_a_result_is_held_the_table_shows_the_one_before() {
        let builder = StreamsBuilder::new("test");
        let table = builder.table("t", &numbers("table"));
        let buffer = BufferConfig::unbounded();
        let held = table.suppress("held", Suppressed::until_time_limit(100, buffer));
        let stream = builder.stream(&numbers("in"));
        stream.left_join("j", &held, |n, row| n + row.unwrap_or(&-5)).to(&numbers("out"));
        let sums = held.group_by::<str, i64>(|_, n| ("all".to_owned(), *n));
        let store = Materialized::<str, i64>::as_("sum", Utf8, I64Be);
        sums.reduce(&store, |sum, n| sum + n, |sum, n| sum - n);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let (shown, sum) = (driver.output(&numbers("out")), || driver.table_row(&store, "all"));
        let mut shown = shown;
        let mut show = |time| {
            driver.input(&numbers("in")).pipe_at("k", &0, time);
            shown.read_value()
        };
        driver.input(&numbers("table")).pipe_at("k", &1, 0);
        assert_eq!((show(0), sum()), (Some(-5), None));
        driver.input(&numbers("table")).pipe_at("other", &10, 100);
        driver.restart();
        assert_eq!((show(100), sum()), (Some(1), Some(1)));
        for (n, time) in [(2, 110), (3, 120)] {
            driver.input(&numbers("table")).pipe_at("k", &n, time);
            driver.restart();
            assert_eq!((show(time), sum()), (Some(1), Some(1)), "{n} is held");
        }
        driver.input(&numbers("table")).pipe_at("end", &100, 210);
        assert_eq!((show(210), sum()), (Some(3), Some(13)), "k and other went out");
    }

    #[test]
    fn a_versioned_table_isnt_suppressed() {
        let builder = StreamsBuilder::new("test");
        let table = builder.versioned_table("t", &numbers("in"), 100).filter(|_, n| *n > 0);
        table.suppress("held", Suppressed::until_time_limit(1, BufferConfig::unbounded()));
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::VersionedSuppress { operator: "held".into() });
        assert!(error.to_string().contains("materialize"));
    }

    #[test]
    fn only_windows_can_close() {
        let builder = StreamsBuilder::new("test");
        let grouped = builder.stream(&numbers("in")).group_by_key();
        let counts = grouped
            .windowed_by(TimeWindows::of_size(10))
            .count(&Materialized::as_("count", Utf8, I64Be));
        let out = Topic::new("windows", counts.key_serde().unwrap(), I64Be);
        counts.to_stream().to(&out);
        let read = builder.table("read", &out);
        read.suppress("final", Suppressed::until_window_closes(BufferConfig::unbounded()));
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::NoWindows { operator: "final".into() });
    }
}
