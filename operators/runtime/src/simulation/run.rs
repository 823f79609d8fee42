//! Runs a schedule on a flow and says what was violated.
//!
//! Whatever panics in a run (a worker, a check, a helper here) is a violation, not the end of the simulation.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use super::Flow;
use super::cluster::{Application, Cluster};
use super::faults::{Faults, Happened};
use super::schedule::{Schedule, Step};
use super::stale::Committed;
use super::world::World;
use crate::ProcessingGuarantee;
use log::TopicSpec;

/// A flow under simulation: what arrives from outside, and what must be true of what comes out.
pub trait Scenario {
    /// What every member runs.
    fn applications(&self) -> Vec<Application>;

    /// The topics that are there before anything runs.
    fn topics(&self) -> Vec<TopicSpec>;

    /// Of the members' workers.
    fn guarantee(&self) -> ProcessingGuarantee {
        ProcessingGuarantee::default()
    }

    /// Called once, before anything runs or fails.
    fn begin(&mut self, _world: &World) {}

    /// Something arrives; the number chooses what.
    fn arrive(&mut self, world: &World, number: u64);

    /// Services outside do something; the number chooses what.
    fn outside(&mut self, _world: &World, _number: u64) {}

    /// Called between steps once the schedule is over: services outside do what they still owe.
    fn settle(&mut self, _world: &World) {}

    /// Looks at what is committed.
    fn check(&mut self, world: &World) -> Verdict;
}

/// What is to be said of a run so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that arrived is answered, and rightly.
    Settled,
    /// Something is still to come.
    Waiting(String),
    /// Something is committed that can never be right.
    Violated(String),
}

impl Verdict {
    /// False while something is still to come.
    ///
    /// # Panics
    /// If something is violated.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Settled => true,
            Self::Waiting(_) => false,
            Self::Violated(what) => panic!("{what}"),
        }
    }
}

/// How often what happened, over one run or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Disruptions by kind.
    pub disruptions: BTreeMap<&'static str, u32>,
    /// Injected faults by call and kind.
    pub faults: Happened,
    /// Tasks that the members who ran at the end had taken over from their standbys.
    pub takeovers: u64,
    /// Rows that standbys showed when they were asked.
    pub stale_rows: u64,
    /// What the log held at the end, as a number ([`World::fingerprint`]); over several runs the sum.
    pub log: u64,
}

impl std::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Self) {
        for (what, count) in other.disruptions {
            *self.disruptions.entry(what).or_default() += count;
        }
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.takeovers += other.takeovers;
        self.stale_rows += other.stale_rows;
        self.log = self.log.wrapping_add(other.log);
    }
}

/// In what way a run went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something committed can never be right.
    Wrong,
    /// Something never comes.
    Stuck,
    /// Somebody panicked.
    Panicked,
}

/// Something that must never happen, and how it came about.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In what way.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
    /// What led to it.
    pub schedule: Schedule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.schedule)
    }
}

/// Runs a schedule.
///
/// # Errors
/// The violation, with this schedule.
pub fn run(flow: &Flow, schedule: &Schedule) -> Result<Events, Box<Violation>> {
    let ran = caught(|| {
        let mut scenario = flow.scenario();
        let (topics, applications) = (scenario.topics(), scenario.applications());
        let faults = Faults::default();
        let (seed, members) = (schedule.seed, schedule.members);
        let mut cluster = Cluster::new(seed, members, faults, &topics, applications);
        cluster.guarantee = scenario.guarantee();
        let mut events = Events::default();
        scenario.begin(&cluster.world);
        cluster.world.faults().begin();
        let mut committed = Committed::default();
        for step in &schedule.steps {
            take(*step, &mut cluster, scenario.as_mut(), &mut events);
            committed.compare(&cluster).map_err(|what| (Kind::Wrong, what))?;
        }
        settle(&mut cluster, scenario.as_mut())?;
        events.faults = cluster.world.faults().happened();
        (events.stale_rows, events.log) = (committed.shown, cluster.world.fingerprint());
        events.takeovers = cluster.doing().iter().map(|worker| worker.takeovers).sum();
        Ok(events)
    });
    ran.map_err(|(kind, what)| Box::new(Violation { kind, what, schedule: schedule.clone() }))
}

fn take(step: Step, cluster: &mut Cluster, scenario: &mut dyn Scenario, events: &mut Events) {
    let mut happens = |what| *events.disruptions.entry(what).or_default() += 1;
    let workers = cluster.workers();
    match step {
        Step::Arrive(number) => scenario.arrive(&cluster.world, number),
        Step::Outside(number) => scenario.outside(&cluster.world, number),
        Step::Work { member, worker } => drop(cluster.step(member, worker % workers)),
        Step::WorkUntil { member, worker, stage } => {
            cluster
                .approach(member, worker % workers, |worker| worker.commit_stage() == Some(stage));
        }
        Step::Zombie(member) => cluster.step_zombies(member),
        Step::Pass(ms) => {
            if ms >= 1_000 {
                happens("clock jumps");
            }
            cluster.world.pass(ms);
            cluster.world.tick();
        }
        Step::Jump { member, ms } => {
            happens("clocks ahead of others");
            cluster.jump(member, ms);
        }
        Step::Kill(member) => {
            if cluster.crash(member) {
                happens("kills");
            }
        }
        Step::Freeze(member) => {
            if cluster.freeze(member) {
                happens("zombies");
            }
        }
        Step::Lose(member) => {
            happens("lost machines");
            cluster.lose(member);
        }
        Step::PowerLoss => {
            happens("power losses");
            cluster.crash_machine();
        }
        Step::Close(member) => {
            happens("closings");
            cluster.close(member);
        }
        Step::Fault { operation, fault, times } => {
            cluster.world.faults().arm(operation, fault, times);
        }
    }
}

/// How long everybody goes on, zombies too, after all is answered: what was processed twice may come only now.
const AFTERMATH_MS: i64 = 15_000;

fn settle(cluster: &mut Cluster, scenario: &mut dyn Scenario) -> Result<(), (Kind, String)> {
    let mut last = Verdict::Settled;
    let mut settled_at = None;
    cluster.settle_until(|cluster| {
        scenario.settle(&cluster.world);
        last = scenario.check(&cluster.world);
        match last {
            Verdict::Violated(_) => true,
            Verdict::Waiting(_) => false,
            Verdict::Settled => {
                let now = cluster.world.now();
                now - *settled_at.get_or_insert(now) >= AFTERMATH_MS
            }
        }
    });
    match last {
        Verdict::Settled => Ok(()),
        Verdict::Violated(what) => Err((Kind::Wrong, what)),
        Verdict::Waiting(what) => {
            Err((Kind::Stuck, format!("{what}, for ever: {:?}", cluster.doing())))
        }
    }
}

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `run` with its panics as errors, and without its log: thousands of runs fail on purpose.
fn caught<T>(run: impl FnOnce() -> Result<T, (Kind, String)>) -> Result<T, (Kind, String)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if WATCHED.get() {
                SAID.set(info.to_string());
            } else {
                others(info);
            }
        }));
    });
    WATCHED.set(true);
    let nobody = tracing::subscriber::NoSubscriber::default();
    let ran = tracing::subscriber::with_default(nobody, || catch_unwind(AssertUnwindSafe(run)));
    WATCHED.set(false);
    ran.unwrap_or_else(|_| Err((Kind::Panicked, SAID.take())))
}
