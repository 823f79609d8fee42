//! `map_async`: asks a service outside about each record, and goes on with its reply.
//!
//! Invariants:
//! * accepting a record writes its pending row, and the record's offset moves on in the same transaction; a call starts
//!   only from a committed row, so there is none for a transaction that was aborted;
//! * a reply deletes the row and is handed on in one transaction, so no result comes twice;
//! * a call has one id for good: where its record was read. Whoever finds the row repeats the call under that id;
//! * of one key the oldest row is called alone, so its results come in the order of its records.

use std::sync::Arc;

use state_stores::{Decoder, Encoder};

use super::pending_calls::{PendingCall, PendingCalls, damaged};
use crate::assembly::Assembly;
use crate::calls::{AsyncCall, CallError, CallOptions};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::{NodeId, NodeKind};
use crate::process::{Edge, Process, ReplyHandler};
use crate::record::Record;
use crate::stream::KStream;
use crate::topology::TopologyError;

type Ask<K, V, QO> = Arc<dyn for<'a> Fn(&'a K, &'a V) -> QO + Send + Sync>;
type Combine<K, Q, R, VO> = Arc<dyn for<'a> Fn(&'a K, &'a Q, &'a R) -> VO + Send + Sync>;

struct MapAsync<K: ?Sized, V: ?Sized, Q: ?Sized + ToOwned, R: ?Sized, VO> {
    id: NodeId,
    /// `<application>-<node>`: how every call's id begins.
    prefix: Arc<str>,
    name: Arc<str>,
    pending: PendingCalls,
    options: CallOptions,
    key: (Box<dyn Encoder<K>>, Box<dyn Decoder<K>>),
    request: (Box<dyn Encoder<Q>>, Box<dyn Decoder<Q>>),
    reply: Box<dyn Decoder<R>>,
    ask: Ask<K, V, Q::Owned>,
    combine: Combine<K, Q, R, VO>,
    key_bytes: Vec<u8>,
    row: Vec<u8>,
    next: Edge<K, VO>,
}

impl<K, V, Q, R, VO> MapAsync<K, V, Q, R, VO>
where
    K: ?Sized,
    V: ?Sized,
    Q: ?Sized + ToOwned,
    R: ?Sized,
{
    /// Where the record was read, or, of what a timer or a reply gave, when and as which.
    fn call_id(&self, number: u64, ctx: &mut TaskContext) -> String {
        let (prefix, partition) = (&self.prefix, ctx.id.partition);
        let origin = ctx.origin;
        match ctx.sequence().zip(origin) {
            Some((at, origin)) => {
                let topic = ctx.topics.get(origin.source).map_or("", AsRef::as_ref);
                format!("{prefix}-{topic}-{partition}-{}-{}", at.offset, at.index)
            }
            None => format!("{prefix}-timer-{partition}-{}-{number}", ctx.now_ms),
        }
    }

    fn read<'r>(&self, row: &'r [u8]) -> Result<PendingCall<'r>, Failure> {
        PendingCall::read(row).ok_or_else(|| damaged(&self.name).into())
    }

    fn forward(&mut self, row: &[u8], reply: &[u8], ctx: &mut TaskContext) -> Result<(), Failure> {
        let call = self.read(row)?;
        let fail = |error| Failure::node(self.id, error);
        let reply = self.reply.decode(reply).map_err(fail)?;
        let key = self.key.1.decode(call.key).map_err(fail)?;
        let request = self.request.1.decode(call.request).map_err(fail)?;
        let value = (self.combine)(key, request, reply);
        let (key, value) = (Some(key), Some(&value));
        let record = Record { key, value, timestamp: call.timestamp, headers: &call.headers };
        self.next.process(record, ctx)
    }
}

impl<K, V, Q, R, VO> Process<K, V> for MapAsync<K, V, Q, R, VO>
where
    K: ?Sized,
    V: ?Sized,
    Q: ?Sized + ToOwned,
    R: ?Sized,
    VO: Send,
{
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some((key, value)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let request = (self.ask)(key, value);
        let number = self.pending.draw(ctx)?;
        let id = self.call_id(number, ctx);
        self.key_bytes.clear();
        let encoded = self.key.0.encode(key, &mut self.key_bytes);
        encoded.map_err(|error| Failure::node(self.id, error))?;
        self.row.clear();
        let (timestamp, headers) = (record.timestamp, record.headers.clone());
        let call = PendingCall {
            attempt: 1,
            not_before: i64::MIN,
            accepted: ctx.now_ms,
            timestamp,
            id: &id,
            key: &self.key_bytes,
            headers,
            request: &[],
        };
        call.write_head(&mut self.row);
        let encoded = self.request.0.encode(std::borrow::Borrow::borrow(&request), &mut self.row);
        encoded.map_err(|error| Failure::node(self.id, error))?;
        self.pending.accept(number, &self.row, ctx);
        Ok(())
    }
}

impl<K, V, Q, R, VO> ReplyHandler for MapAsync<K, V, Q, R, VO>
where
    K: ?Sized,
    V: ?Sized,
    Q: ?Sized + ToOwned,
    R: ?Sized,
    VO: Send,
{
    fn on_reply(
        &mut self,
        number: u64,
        result: &Result<Vec<u8>, CallError>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let mut row = std::mem::take(&mut self.row);
        if !self.pending.read(number, ctx, &mut row)? {
            self.row = row;
            return Ok(());
        }
        let done = match result {
            Ok(reply) => {
                self.pending.remove(number, ctx);
                self.forward(&row, reply, ctx)
            }
            Err(error) => {
                let call = self.read(&row)?;
                let (attempt, attempts) = (call.attempt, self.options.attempts);
                if matches!(error, CallError::Failed(_)) && attempt < attempts {
                    let delay = self.options.delay_ms(attempt);
                    let not_before = ctx.now_ms.saturating_add(delay);
                    PendingCall::put_off(&mut row, attempt + 1, not_before);
                    self.pending.put_off(number, &row, ctx);
                    Ok(())
                } else {
                    let id = call.id;
                    let cause = format!("call {id} failed at attempt {attempt}: {error}");
                    Err(Failure::node(self.id, cause))
                }
            }
        };
        self.row = row;
        done
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Asks a service outside about each record and goes on with its reply, under the record's key, time and headers.
    ///
    /// `request` makes the request; `reply` makes the result from key, request and reply, so what it needs of the
    /// record belongs into the request. Accepting a record writes a pending row; the call starts when that is committed,
    /// and after a crash it is repeated under the same [`Call::id`](crate::Call::id), which is the idempotency key for
    /// the service. Results are handed on once. Of one key, one call is in flight at a time and results come in the order
    /// of the records, unless [`AsyncCall::unordered`].
    ///
    /// A call that fails is tried again as [`AsyncCall::retry`] says; in the end the node's
    /// [`ErrorPolicy`](crate::ErrorPolicy) is followed, with the request as the dead letter's value. Records without key
    /// or value are dropped and counted. Repartitions if the key may have changed.
    pub fn map_async<Q, R, VO>(
        &self,
        call: &AsyncCall<Q, R>,
        request: impl for<'a> Fn(&'a K, &'a V) -> Q::Owned + Send + Sync + 'static,
        reply: impl for<'a> Fn(&'a K, &'a Q, &'a R) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        Q: ?Sized + ToOwned + 'static,
        R: ?Sized + 'static,
        VO: Send + 'static,
    {
        let input = self.keyed(&call.name);
        let Some(key) = input.serdes.key.clone() else {
            self.problem(TopologyError::NoSerde { operator: call.name.to_string(), part: "key" });
            return KStream::new(&self.flow, self.node, self.serdes.with_value(None), false);
        };
        let store = PendingCalls::declare(&call.name, (key.format(), call.request.format()));
        let name = Arc::clone(&call.name);
        let ask: Ask<K, V, Q::Owned> = Arc::new(request);
        let combine: Combine<K, Q, R, VO> = Arc::new(reply);
        let call = call.clone();
        let mut graph = input.flow.borrow_mut();
        let prefix: Arc<str> = Arc::from(format!("{}-{name}", graph.application_id));
        let build = move |assembly: &mut Assembly<'_>, id| {
            let next = assembly.downstream::<K, VO>(id);
            let pending = assembly.pending_calls(&call.name);
            let node = MapAsync {
                id,
                prefix: Arc::clone(&prefix),
                name: Arc::clone(&call.name),
                pending,
                options: call.options,
                key: (key.encoder(), key.decoder()),
                request: (call.request.encoder(), call.request.decoder()),
                reply: call.reply.decoder(),
                ask: Arc::clone(&ask),
                combine: Arc::clone(&combine),
                key_bytes: Vec::new(),
                row: Vec::new(),
                next,
            };
            assembly.install_calls::<K, V, _>(id, pending.store, call.options, node);
        };
        let kind = NodeKind::Operator("map-async");
        let node = graph.add(Some(&name), kind, &[input.node], Box::new(build));
        graph.declare(node, store);
        graph.calls.push(name);
        drop(graph);
        KStream::new(&input.flow, node, input.serdes.with_value(None), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::I64Be;
    use crate::testing::{numbers, pair};
    use crate::{
        DEAD_LETTERS, ErrorPolicy, Headers, RawBytes, Settle, StreamsBuilder, TestCall, Topic,
        TopologyTestDriver,
    };

    /// Asks for the double of a number.
    fn double() -> AsyncCall<i64, i64> {
        AsyncCall::new("double", I64Be, I64Be).retry(2, 100, 1_000).timeout_ms(50)
    }

    fn driver(call: &AsyncCall<i64, i64>, policy: ErrorPolicy) -> TopologyTestDriver {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        let doubled = stream.map_async(call, |_, n| *n, |_, n, reply| n * 1_000 + reply);
        doubled.on_error(policy).to(&numbers("out"));
        TopologyTestDriver::new(&builder.build().unwrap())
    }

    fn requests(driver: &TopologyTestDriver) -> Vec<i64> {
        driver.calls(&double()).into_iter().map(|call| call.request).collect()
    }

    /// Doubles the oldest call.
    fn answer(driver: &TopologyTestDriver) -> TestCall<i64> {
        let call = driver.calls(&double()).remove(0);
        driver.answer(&double(), &call.id, Ok(&(call.request * 2))).unwrap();
        call
    }

    fn failed() -> Result<&'static i64, CallError> {
        Err(CallError::Failed("busy".to_owned()))
    }

    #[test]
    fn a_result_has_the_records_key_time_and_headers_and_comes_once() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        let headers: Headers = [("traceparent", &b"00"[..])].into_iter().collect();
        driver.input(&numbers("in")).try_pipe(Some("k"), Some(&7), 42, &headers).unwrap();
        assert!(driver.output(&numbers("out")).is_empty());
        let call = answer(&driver);
        assert_eq!((&*call.id, call.attempt), ("test-double-in-0-0-0", 1));
        driver.answer(&double(), &call.id, Ok(&1)).unwrap();
        let records = driver.output(&numbers("out")).read_records();
        let first = &records[0];
        assert_eq!(
            (first.key.as_deref(), first.value, first.timestamp),
            (Some("k"), Some(7_014), 42)
        );
        assert_eq!((&first.headers, records.len()), (&headers, 1));
        assert_eq!(driver.rows("double").len(), 1, "only the counter is left");
    }

    #[test]
    fn nothing_is_called_before_the_commit_and_an_abort_leaves_no_call() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        driver.auto_commit(false);
        driver.input(&numbers("in")).pipe("k", &7);
        assert!(requests(&driver).is_empty());
        driver.abort();
        assert!(requests(&driver).is_empty());
        driver.run().unwrap();
        driver.commit();
        assert_eq!(requests(&driver), [7]);
        // The answer's transaction fails: the row is still there, so the call is made again.
        let first = answer(&driver);
        assert!(requests(&driver).is_empty());
        driver.abort();
        driver.run().unwrap();
        assert_eq!(driver.calls(&double()), [first]);
        answer(&driver);
        driver.commit();
        assert_eq!(driver.output(&numbers("out")).read_values(), [7_014]);
    }

    #[test]
    fn a_call_under_way_survives_an_abort_and_is_repeated_after_a_crash() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        driver.input(&numbers("in")).pipe("k", &7);
        let before = driver.calls(&double());
        driver.abort();
        driver.run().unwrap();
        assert_eq!(driver.calls(&double()), before, "it wasn't started a second time");
        driver.restart();
        assert!(requests(&driver).is_empty());
        driver.run().unwrap();
        assert_eq!(driver.calls(&double()), before, "the same id, the same attempt");
        answer(&driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [7_014]);
    }

    #[test]
    fn an_answer_right_after_an_abort_counts() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        driver.input(&numbers("in")).pipe("k", &7);
        driver.abort();
        answer(&driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [7_014]);
    }

    #[test]
    fn one_call_per_key_at_a_time_in_the_order_of_its_records() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        for (key, n) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            driver.input(&numbers("in")).pipe(key, &n);
        }
        assert_eq!(requests(&driver), [1, 3]);
        let second = driver.calls(&double()).remove(1);
        driver.answer(&double(), &second.id, Ok(&6)).unwrap();
        assert_eq!(requests(&driver), [1]);
        answer(&driver);
        assert_eq!(requests(&driver), [2]);
        driver.restart();
        driver.run().unwrap();
        assert_eq!(requests(&driver), [2]);
        answer(&driver);
        answer(&driver);
        let out = driver.output(&numbers("out")).read_values();
        assert_eq!(out, [3_006, 1_002, 2_004, 4_008]);
    }

    #[test]
    fn failures_and_silence_are_tried_again_later_and_that_survives_a_crash() {
        let driver = driver(&double().retry(3, 100, 150), ErrorPolicy::Skip);
        driver.input(&numbers("in")).pipe("k", &7);
        let first = driver.calls(&double()).remove(0);
        driver.answer(&double(), &first.id, failed()).unwrap();
        assert!(requests(&driver).is_empty());
        driver.advance_wall_clock(99);
        driver.restart();
        driver.run().unwrap();
        assert!(requests(&driver).is_empty(), "a restart doesn't forget the pause");
        driver.advance_wall_clock(1);
        let second = driver.calls(&double()).remove(0);
        assert_eq!((second.id.clone(), second.attempt), (first.id, 2));
        // No answer for 50 ms is a failure; the pause doubles, but is never longer than 150.
        driver.advance_wall_clock(50);
        driver.advance_wall_clock(149);
        assert!(requests(&driver).is_empty(), "given up, and not yet tried again");
        driver.advance_wall_clock(1);
        let third = driver.calls(&double()).remove(0);
        assert_eq!(third.attempt, 3);
        driver.answer(&double(), &third.id, failed()).unwrap();
        assert_eq!((driver.dropped().skipped, driver.rows("double").len()), (1, 1));
    }

    #[test]
    fn a_call_that_is_given_up_lets_the_next_of_its_key_go_on() {
        let driver = driver(&double(), ErrorPolicy::DeadLetter);
        driver.input(&numbers("in")).pipe("k", &7);
        driver.input(&numbers("in")).pipe("k", &8);
        let call = driver.calls(&double()).remove(0);
        let rejected = CallError::Rejected("no such account".to_owned());
        driver.answer(&double(), &call.id, Err(rejected)).unwrap();
        let letters = Topic::new(DEAD_LETTERS, RawBytes, I64Be);
        let letter = driver.output::<[u8], i64>(&letters).read_record().unwrap();
        assert_eq!((letter.key.as_deref(), letter.value), (Some(&b"k"[..]), Some(7)));
        let message = letter.headers.get("__streams.errors.message").unwrap();
        let expected = "call test-double-in-0-0-0 failed at attempt 1: no such account";
        assert_eq!(std::str::from_utf8(message), Ok(expected));
        answer(&driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [8_016]);
    }

    #[test]
    fn the_policy_to_fail_names_the_call_and_keeps_it() {
        let driver = driver(&double(), ErrorPolicy::Fail);
        driver.input(&numbers("in")).pipe("k", &7);
        let call = driver.calls(&double()).remove(0);
        let rejected = || Err(CallError::Rejected("no".to_owned()));
        let error = driver.answer(&double(), &call.id, rejected()).unwrap_err().to_string();
        assert!(error.contains("node double") && error.contains(&*call.id), "{error}");
        driver.abort();
        driver.run().unwrap();
        assert_eq!(driver.calls(&double()), [call]);
    }

    #[test]
    fn with_too_much_pending_no_record_is_taken() {
        let driver = driver(&double().max_pending(2).max_in_flight(1), ErrorPolicy::Fail);
        for (key, n) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            driver.input(&numbers("in")).enqueue(Some(key), Some(&n), 0, &Headers::new());
        }
        driver.run().unwrap();
        assert_eq!((requests(&driver), driver.rows("double").len()), (vec![1], 3));
        driver.restart();
        driver.run().unwrap();
        assert_eq!(driver.rows("double").len(), 3, "the bound holds for what was found");
        for expected in [2, 3, 4] {
            answer(&driver);
            assert_eq!(requests(&driver), [expected]);
        }
        answer(&driver);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1_002, 2_004, 3_006, 4_008]);
    }

    #[test]
    fn a_retry_does_not_wait_for_input_that_waits_for_it() {
        let driver = driver(&double().max_pending(1), ErrorPolicy::Fail);
        driver.input(&numbers("in")).pipe("a", &1);
        driver.input(&numbers("in")).pipe("b", &2);
        let call = driver.calls(&double()).remove(0);
        driver.answer(&double(), &call.id, failed()).unwrap();
        driver.advance_wall_clock(100);
        assert_eq!(requests(&driver), [1]);
        answer(&driver);
        answer(&driver);
        let out = driver.output(&numbers("out")).read_key_values();
        assert_eq!(out, [pair("a", 1_002), pair("b", 2_004)]);
    }

    #[test]
    fn a_result_may_wait_for_a_global_table() {
        let builder = StreamsBuilder::new("test");
        let names = builder.global_table("names", &numbers("names"));
        let doubled =
            builder.stream(&numbers("in")).map_async(&double(), |_, n| *n, |_, _, reply| *reply);
        let named = doubled.lookup("name", &names, |key, n, rows, settled| {
            match rows.get(key, |row| row.copied()) {
                Some(row) => Settle::Emit(row + n),
                None if settled => Settle::Emit(-1),
                None => Settle::Hold,
            }
        });
        named.to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.pause_globals(true);
        driver.input(&numbers("in")).pipe("k", &7);
        driver.input(&numbers("names")).pipe("k", &100);
        answer(&driver);
        assert!(driver.output(&numbers("out")).is_empty());
        driver.pause_globals(false);
        driver.run().unwrap();
        assert_eq!(driver.output(&numbers("out")).read_values(), [114]);
    }

    #[test]
    fn two_calls_in_a_row_have_ids_of_their_own() {
        let builder = StreamsBuilder::new("test");
        let second = AsyncCall::<i64, i64>::new("again", I64Be, I64Be);
        let doubled =
            builder.stream(&numbers("in")).map_async(&double(), |_, n| *n, |_, _, reply| *reply);
        doubled.map_async(&second, |_, n| *n, |_, _, reply| *reply).to(&numbers("out"));
        let topology = builder.build().unwrap();
        assert_eq!(topology.calls(), [Arc::from("double"), Arc::from("again")]);
        let driver = TopologyTestDriver::new(&topology);
        driver.input(&numbers("in")).pipe("k", &7);
        answer(&driver);
        let call = driver.calls(&second).remove(0);
        assert_eq!((&*call.id, call.request), ("test-again-timer-0-0-0", 14));
        driver.answer(&second, &call.id, Ok(&28)).unwrap();
        assert_eq!(driver.output(&numbers("out")).read_values(), [28]);
    }
}
