//! Calls to a service that answers late, twice, with an error or not at all. It checks each call as it comes: under one
//! id for good, about a row that is committed and synced, not too many at a time. The output then has one result per
//! record, in the order of its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::embedded::EmbeddedLog;
use log::{Isolation, Log, TopicPartition, TopicSpec, Visibility};
use operators::{AsyncCall, Call, CallError, StreamsBuilder, Topic, Topology, Utf8};

use super::{PARTITIONS, text, topics};
use crate::simulation::cluster::Application;
use crate::simulation::run::{Scenario, Verdict};
use crate::simulation::world::World;
use crate::{Completion, Worker};

const KEYS: u64 = 8;

/// See the module page.
#[derive(Debug, Default)]
pub struct Calls {
    /// The service; it outlives every process.
    pub service: Arc<Mutex<Service>>,
    appended: Vec<String>,
}

/// A call that the service hasn't answered.
#[derive(Debug)]
struct Open {
    /// Which process of all that ever were.
    process: u32,
    call: Call,
    completion: Completion<str>,
}

/// The service outside.
#[derive(Debug, Default)]
pub struct Service {
    open: Vec<Open>,
    /// The id under which it was first asked about something.
    ids: BTreeMap<String, String>,
    processes: u32,
    /// How often it was called.
    pub calls: usize,
}

impl Service {
    fn called(
        &mut self,
        process: u32,
        (call, request): (&Call, &str),
        completion: Completion<str>,
        is_durable: impl FnOnce(&str) -> bool,
    ) {
        self.calls += 1;
        // By the clock of who calls.
        let now = call.due_ms - call.timeout_ms;
        match self.ids.get(request) {
            Some(id) => assert_eq!(id, &*call.id, "an id for good"),
            None => {
                assert!(is_durable(&call.id), "{} is not committed", call.id);
                self.ids.insert(request.to_owned(), call.id.to_string());
            }
        }
        let partition = |call: &Call| call.id.split('-').nth(3).unwrap().to_owned();
        let under_way = self.open.iter().filter(|open| {
            open.process == process
                && open.call.due_ms > now
                && partition(&open.call) == partition(call)
        });
        let keys: Vec<_> = under_way.map(|open| open.call.key.clone()).collect();
        let most = Calls::IN_FLIGHT;
        assert!(keys.len() < most, "{} calls under way beside {}", keys.len(), call.id);
        assert!(!keys.contains(&call.key), "{} is the second of its key", call.id);
        self.open.push(Open { process, call: call.clone(), completion });
    }

    /// Deals with one call, any of those it has, in one of its ways.
    fn act(&mut self, number: u64) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.swap_remove((number / 8) as usize % self.open.len());
        match number % 8 {
            0 => drop(open),
            1 => open.completion.complete(Err(CallError::Failed("busy".to_owned()))),
            _ => open.completion.complete(Ok("done")),
        }
    }

    /// How many calls it hasn't answered.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.open.len()
    }

    /// The oldest call fails.
    pub fn fail_first(&mut self, why: String) {
        self.open.remove(0).completion.complete(Err(CallError::Failed(why)));
    }

    /// Answers every call.
    pub fn answer_all(&mut self) {
        for open in self.open.drain(..) {
            open.completion.complete(Ok("done"));
        }
    }
}

/// Whether the pending row of a call is committed.
fn is_committed(log: &EmbeddedLog, id: &str) -> bool {
    let mut reader = log.reader("service", Isolation::ReadCommitted, Visibility::Written).unwrap();
    let topic = "calling-service-changelog";
    let all: Vec<_> = (0..PARTITIONS).map(|n| (TopicPartition::new(topic, n), 0)).collect();
    reader.assign(&all).unwrap();
    let (id, mut found) = (id.as_bytes(), false);
    let mut look = |record: log::record::ConsumedRecord<'_>| {
        let row = record.value.unwrap_or_default();
        found |= row.windows(id.len()).any(|part| part == id);
    };
    while reader.poll(Duration::ZERO, 1_000, &mut look).unwrap() > 0 {}
    found
}

/// Per key what was asked, in order.
fn by_key(values: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for value in values {
        let key = value.split(':').next().unwrap_or_default().to_owned();
        keys.entry(key).or_default().push(value);
    }
    keys
}

impl Calls {
    /// What arrives.
    pub const INPUT: &'static str = "requests";
    /// Calls under way at a time.
    pub const IN_FLIGHT: usize = 2;

    /// How the service is called.
    #[must_use]
    pub fn call() -> AsyncCall<str, str> {
        AsyncCall::new("service", Utf8, Utf8)
            .max_in_flight(Self::IN_FLIGHT)
            .max_pending(6)
            .timeout_ms(2_000)
            .retry(u32::MAX, 20, 100)
    }

    /// A flow that calls so.
    #[must_use]
    pub fn calling(call: &AsyncCall<str, str>) -> Topology {
        let builder = StreamsBuilder::new("calling");
        builder
            .stream::<str, str>(&Topic::new(Self::INPUT, Utf8, Utf8))
            .map_async(
                call,
                |_, text| text.to_owned(),
                |_, asked, reply| format!("{asked} {reply}"),
            )
            .to(&Topic::<str, String>::new("results", Utf8, Utf8));
        builder.build().unwrap()
    }

    /// An application that calls so, on this service.
    #[must_use]
    pub fn application(&self, call: &AsyncCall<str, str>) -> Application {
        let service = self.service.clone();
        let prepare = move |worker: &mut Worker, world: &World| {
            let process = {
                let mut service = service.lock().unwrap();
                service.processes += 1;
                service.processes
            };
            let (service, survivors) = (service.clone(), world.survivors());
            worker.on_call(&Self::call(), move |call, request, completion| {
                let durable = |id: &str| is_committed(&survivors(), id);
                let mut service = service.lock().unwrap();
                service.called(process, (call, request), completion, durable);
            });
        };
        Application { topology: Self::calling(call), prepare: Box::new(prepare) }
    }

    /// Appends a record, and remembers it.
    pub fn append(&mut self, world: &World, key: &str, value: &str) {
        world.append(Self::INPUT, key.as_bytes(), value.as_bytes());
        self.appended.push(value.to_owned());
    }
}

impl Scenario for Calls {
    fn applications(&self) -> Vec<Application> {
        vec![self.application(&Self::call())]
    }

    fn topics(&self) -> Vec<TopicSpec> {
        topics(&[Self::INPUT, "results"])
    }

    fn arrive(&mut self, world: &World, number: u64) {
        let key = format!("k{}", number % KEYS);
        let value = format!("{key}:{}", self.appended.len());
        self.append(world, &key, &value);
    }

    fn outside(&mut self, _world: &World, number: u64) {
        self.service.lock().unwrap().act(number);
    }

    fn settle(&mut self, _world: &World) {
        self.service.lock().unwrap().answer_all();
    }

    fn check(&mut self, world: &World) -> Verdict {
        let mut told = Vec::new();
        for (key, result) in world.committed("results") {
            let (key, result) = (text(key), text(result));
            match result.strip_suffix(" done") {
                Some(asked) if asked.starts_with(&format!("{key}:")) => told.push(asked.to_owned()),
                _ => return Verdict::Violated(format!("{result:?} under the key {key:?}")),
            }
        }
        let told = by_key(told.into_iter());
        let expected = by_key(self.appended.iter().cloned());
        for (key, results) in &told {
            let due = expected.get(key).map_or(&[][..], Vec::as_slice);
            if !due.starts_with(results) {
                return Verdict::Violated(format!("{results:?} instead of {due:?}"));
            }
        }
        if told == expected {
            return Verdict::Settled;
        }
        Verdict::Waiting(format!("{told:?} instead of {expected:?}"))
    }
}
