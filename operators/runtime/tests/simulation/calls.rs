//! Calls to a service outside, at moments that a test chooses.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use operators::AsyncCall;
use operators_runtime::simulation::flows::{Calls, PARTITIONS, Service};
use operators_runtime::simulation::{Application, Cluster, Faults, Scenario};
use state_stores::partition::partition_for_key;

use crate::STAGES;

/// A cluster of one member that calls, and what it was given.
struct Calling {
    cluster: Cluster,
    flow: Calls,
}

impl Deref for Calling {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Calling {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl Calling {
    fn new(call: &AsyncCall<str, str>) -> Self {
        let flow = Calls::default();
        let application = flow.application(call);
        Self::running(flow, application)
    }

    fn running(flow: Calls, application: Application) -> Self {
        let topics = flow.topics();
        let cluster = Cluster::new(7, 1, Faults::default(), &topics, vec![application]);
        Self { cluster, flow }
    }

    fn service(&self) -> Arc<Mutex<Service>> {
        self.flow.service.clone()
    }

    fn append(&mut self, key: &str, number: u32) {
        self.flow.append(&self.cluster.world, key, &format!("{key}:{number}"));
    }

    fn settle(&mut self) {
        let flow = &mut self.flow;
        let settled = self.cluster.settle_until(|cluster| {
            flow.settle(&cluster.world);
            flow.check(&cluster.world).is_settled()
        });
        assert!(settled, "{:?}", self.doing());
    }
}

#[test]
fn a_crash_between_any_two_phases_of_either_commit_loses_and_doubles_nothing() {
    for stage in STAGES {
        for (answered, machine) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut cluster = Calling::new(&Calls::call());
            let service = cluster.service();
            for n in 0..4 {
                cluster.append(&format!("k{}", n % 2), n);
            }
            if answered {
                cluster.run_until(0, |_| service.lock().unwrap().under_way() > 0);
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
            cluster.settle();
        }
    }
}

#[test]
fn a_call_that_fails_again_stops_its_task_whatever_it_says_and_whatever_is_committed_meanwhile() {
    let mut cluster = Calling::new(&Calls::call().retry(1, 0, 0).max_pending(1_000));
    let service = cluster.service();
    let partition = |key: &String| partition_for_key(key.as_bytes(), PARTITIONS);
    let mut keys = (0..).map(|n| format!("k{n}")).filter(|key| partition(key) == 0);
    let [bad, worse, later] = std::array::from_fn(|_| keys.next().unwrap());
    for key in [&bad, &worse] {
        cluster.append(key, 0);
    }
    for n in 0..5_000 {
        cluster.step(0, 0);
        cluster.world.pass(1);
        cluster.world.tick();
        match n % 50 {
            0 => cluster.append(&later, n),
            // Both are under way: the one that came first fails, and is made again after the other.
            49 if service.lock().unwrap().under_way() == Calls::IN_FLIGHT => {
                service.lock().unwrap().fail_first(format!("busy until {n}"));
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
    let application = Application::new(Calls::calling(&Calls::call()));
    let mut cluster = Calling::running(Calls::default(), application);
    cluster.start(0, 0);
    let error = cluster.try_step(0, 0).unwrap_err().to_string();
    assert!(error.contains("`service`") && error.contains("Worker::on_call"), "{error}");
}
