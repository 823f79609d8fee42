//! Calls to a service that answers late, twice, with an error or not at all, while workers crash between any two steps,
//! stand still, lose their power or their partitions.
//!
//! The service checks each call as it comes; the output then has one result per record, in the order of its key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::embedded::EmbeddedLog;
use log::{Isolation, Log, TopicPartition, Visibility};
use operators::{AsyncCall, Call, CallError, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{CommitStage, Completion, Worker};
use state_stores::partition::partition_for_key;

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::flow::Flow;
use crate::schedule::Schedule;
use crate::words::PARTITIONS;

const IN_FLIGHT: usize = 2;
const KEYS: u64 = 8;
const STEPS: usize = 1_000;

fn call() -> AsyncCall<str, str> {
    AsyncCall::new("service", Utf8, Utf8)
        .max_in_flight(IN_FLIGHT)
        .max_pending(6)
        .timeout_ms(2_000)
        .retry(u32::MAX, 20, 100)
}

fn topology() -> Topology {
    calling(&call())
}

fn calling(call: &AsyncCall<str, str>) -> Topology {
    let builder = StreamsBuilder::new("calling");
    builder
        .stream::<str, str>(&Topic::new("requests", Utf8, Utf8))
        .map_async(call, |_, text| text.to_owned(), |_, asked, reply| format!("{asked} {reply}"))
        .to(&Topic::<str, String>::new("results", Utf8, Utf8));
    builder.build().unwrap()
}

struct Open {
    /// Which process of all that ever were.
    process: u32,
    call: Call,
    completion: Completion<str>,
}

/// The service outside. It outlives every process.
#[derive(Default)]
struct Service {
    open: Vec<Open>,
    /// The id under which it was first asked about something.
    ids: BTreeMap<String, String>,
    processes: u32,
    calls: usize,
    retries: usize,
}

impl Service {
    fn called(
        &mut self,
        process: u32,
        (call, request): (&Call, &str),
        completion: Completion<str>,
        now: i64,
        log: &EmbeddedLog,
    ) {
        self.calls += 1;
        self.retries += usize::from(call.attempt > 1);
        match self.ids.get(request) {
            Some(id) => assert_eq!(id, &*call.id, "an id for good"),
            None => {
                assert!(is_durable(log, &call.id), "{} is not committed", call.id);
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
        assert!(keys.len() < IN_FLIGHT, "{} calls under way beside {}", keys.len(), call.id);
        assert!(!keys.contains(&call.key), "{} is the second of its key", call.id);
        self.open.push(Open { process, call: call.clone(), completion });
    }

    /// Deals with one call, any of those it has.
    fn act(&mut self, dice: &mut Dice) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.swap_remove(dice.below(self.open.len() as u64) as usize);
        match dice.below(8) {
            0 => drop(open),
            1 => open.completion.complete(Err(CallError::Failed("busy".to_owned()))),
            _ => open.completion.complete(Ok("done")),
        }
    }

    fn answer_all(&mut self) {
        for open in self.open.drain(..) {
            open.completion.complete(Ok("done"));
        }
    }
}

/// Whether the pending row of a call is committed and synced.
fn is_durable(log: &EmbeddedLog, id: &str) -> bool {
    let mut reader = log.reader("service", Isolation::ReadCommitted, Visibility::Durable).unwrap();
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

fn flow(service: &Arc<Mutex<Service>>) -> Flow {
    let service = service.clone();
    let prepare = move |worker: &mut Worker, log: Arc<EmbeddedLog>, clock: Arc<AtomicI64>| {
        let process = {
            let mut service = service.lock().unwrap();
            service.processes += 1;
            service.processes
        };
        let service = service.clone();
        worker.on_call(&call(), move |call, request, completion| {
            let now = clock.load(Ordering::SeqCst);
            service.lock().unwrap().called(process, (call, request), completion, now, &log);
        });
    };
    Flow { input: "requests", output: "results", topology, prepare: Box::new(prepare) }
}

fn append(cluster: &mut Cluster, dice: &mut Dice) {
    let key = format!("k{}", dice.below(KEYS));
    let value = format!("{key}:{}", cluster.appended().len());
    cluster.append(&key, &value);
}

/// Per key what was asked, in order.
fn by_key(values: impl Iterator<Item = String>) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for value in values {
        let key = value.split(':').next().unwrap().to_owned();
        keys.entry(key).or_default().push(value);
    }
    keys
}

fn results(cluster: &Cluster) -> BTreeMap<String, Vec<String>> {
    let texts = cluster.output().into_iter().map(|(_, text)| String::from_utf8(text).unwrap());
    by_key(texts.map(|text| text.strip_suffix(" done").unwrap().to_owned()))
}

/// Without faults and with a service that answers, all is answered once and in order.
fn settle(cluster: &mut Cluster, service: &Mutex<Service>, seed: u64) {
    let expected = by_key(cluster.appended().iter().cloned());
    let settled = cluster.settle_until(|cluster| {
        service.lock().unwrap().answer_all();
        results(cluster) == expected
    });
    assert!(settled, "seed {seed}: {:#?} instead of {expected:#?}", results(cluster));
}

#[test]
fn every_record_is_asked_about_and_has_one_result_whatever_crashes() {
    let seeds = crate::seeds();
    let verbose = seeds.len() == 1;
    let (mut repeated, mut retries, mut faults) = (0, 0, 0);
    for seed in seeds {
        let service = Arc::new(Mutex::new(Service::default()));
        let cluster = Cluster::with_flow(seed, 2, Faults::random(seed), flow(&service));
        let mut schedule = Schedule::of(cluster, seed, verbose, append);
        let mut dice = Dice::new(seed + 1);
        schedule.cluster.faults().begin();
        for _ in 0..STEPS {
            if dice.below(6) == 0 {
                service.lock().unwrap().act(&mut dice);
            }
            schedule.one();
        }
        settle(&mut schedule.cluster, &service, seed);
        let service = service.lock().unwrap();
        repeated += service.calls - service.retries - service.ids.len();
        retries += service.retries;
        faults += schedule.cluster.faults().happened().len();
    }
    println!("calls repeated after a crash: {repeated}, tried again after a failure: {retries}");
    assert!(verbose || (repeated > 0 && retries > 0 && faults > 0));
}

#[test]
fn a_crash_between_any_two_phases_of_either_commit_loses_and_doubles_nothing() {
    let stages = [
        CommitStage::Stage,
        CommitStage::Offsets,
        CommitStage::Flush,
        CommitStage::End,
        CommitStage::Apply,
    ];
    for stage in stages {
        for (answered, machine) in [(false, false), (false, true), (true, false), (true, true)] {
            let service = Arc::new(Mutex::new(Service::default()));
            let faults = Faults::deciding(|_| None);
            let mut cluster = Cluster::with_flow(7, 1, faults, flow(&service));
            for n in 0..4 {
                let key = format!("k{}", n % 2);
                cluster.append(&key, &format!("{key}:{n}"));
            }
            if answered {
                cluster.run_until(0, |_| !service.lock().unwrap().open.is_empty());
                cluster.run_until(0, |worker| worker.commit_stage().is_none());
                service.lock().unwrap().answer_all();
            }
            cluster.run_until(0, |worker| worker.commit_stage() == Some(stage));
            assert_eq!(service.lock().unwrap().calls > 0, answered, "before {stage:?}");
            if machine {
                cluster.crash_machine();
            } else {
                cluster.crash(0);
            }
            settle(&mut cluster, &service, 7);
        }
    }
}

#[test]
fn a_call_that_fails_again_stops_its_task_whatever_it_says_and_whatever_is_committed_meanwhile() {
    let service = Arc::new(Mutex::new(Service::default()));
    let once = || calling(&call().retry(1, 0, 0).max_pending(1_000));
    let faults = Faults::deciding(|_| None);
    let mut cluster = Cluster::with_flow(1, 1, faults, Flow { topology: once, ..flow(&service) });
    let partition = |key: &String| partition_for_key(key.as_bytes(), PARTITIONS);
    let mut keys = (0..).map(|n| format!("k{n}")).filter(|key| partition(key) == 0);
    let [bad, worse, later] = std::array::from_fn(|_| keys.next().unwrap());
    for key in [&bad, &worse] {
        cluster.append(key, &format!("{key}:no"));
    }
    for n in 0..5_000 {
        cluster.step(0);
        cluster.pass(1);
        cluster.tick();
        match n % 50 {
            0 => cluster.append(&later, &format!("{later}:{n}")),
            // Both are under way: the one that came first fails, and is made again after the other.
            49 if service.lock().unwrap().open.len() == IN_FLIGHT => {
                let open = service.lock().unwrap().open.remove(0);
                open.completion.complete(Err(CallError::Failed(format!("busy until {n}"))));
            }
            _ => {}
        }
        let tasks = cluster.status(0).map_or_else(Vec::new, |status| status.tasks);
        if let Some(stopped) = tasks.iter().find_map(|task| task.stopped.as_deref()) {
            assert!(stopped.contains("node service failed on call calling-service-"), "{stopped}");
            return;
        }
    }
    panic!("{} calls, and the task goes on", service.lock().unwrap().calls);
}

#[test]
fn calls_that_nobody_makes_are_refused_at_the_start() {
    let service = Arc::new(Mutex::new(Service::default()));
    let nobody = Flow { prepare: Box::new(|_, _, _| {}), ..flow(&service) };
    let mut cluster = Cluster::with_flow(1, 1, Faults::deciding(|_| None), nobody);
    cluster.start(0);
    let error = cluster.try_step(0).unwrap_err().to_string();
    assert!(error.contains("`service`") && error.contains("Worker::on_call"), "{error}");
}
