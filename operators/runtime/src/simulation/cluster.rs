//! Members on one log: each a process with a worker per application, stepped by whoever holds the cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::{Log, TopicSpec};
use operators::Topology;
use state_stores::{Crash, MemoryEngine, StateDir, StateOptions};

use super::faults::Faults;
use super::stale;
use super::world::World;
use crate::{
    ProcessingGuarantee, Progress, Queries, Worker, WorkerError, WorkerSettings, WorkerStatus,
};

/// Called with every worker before it starts.
pub type Prepare = Box<dyn Fn(&mut Worker, &World)>;

/// What every member runs a worker of.
pub struct Application {
    /// Its flow.
    pub topology: Topology,
    /// What its workers need beside it, such as [`Worker::on_call`].
    pub prepare: Prepare,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Application").field(&self.topology.application_id()).finish()
    }
}

impl Application {
    /// One that needs nothing beside it.
    #[must_use]
    pub fn new(topology: Topology) -> Self {
        Self { topology, prepare: Box::new(|_, _| {}) }
    }
}

/// One worker's place in a member; its files outlive its process.
#[derive(Default)]
struct Place {
    files: Arc<MemoryEngine>,
    /// Of the present process, or the last.
    state: Option<Arc<StateDir>>,
    worker: Option<Worker>,
    /// What asks it, or the last one.
    queries: Option<Queries>,
    /// A process that stood still and was given up by the group.
    zombie: Option<Worker>,
}

/// The members, what they run, and their world.
pub struct Cluster {
    /// The log, the clock, the faults.
    pub world: World,
    /// Of workers that are started from now on.
    pub guarantee: ProcessingGuarantee,
    seed: u64,
    applications: Vec<Application>,
    /// By member, then by application.
    members: Vec<Vec<Place>>,
    /// How far the clock of each member's machine is ahead of the log's, in ms.
    ahead: Vec<i64>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("world", &self.world).finish_non_exhaustive()
    }
}

/// Memory for committed rows that are not in the base.
pub const LAYER_BYTES: usize = 4_096;

/// Rounds until whoever waits for an end gives up: more than it takes the others to come to a time that a clock furthest
/// ahead has written down.
const ROUNDS_MAX: usize = 60_000;

/// How far a member's clock may be ahead.
const AHEAD_MAX_MS: i64 = 3_600_000;

/// Time that passes at most while nobody has anything to do: sessions and transactions end by the clock too.
const IDLE_MS: i64 = 100;

/// Steps that a worker may take to come to a moment.
const APPROACH_MAX: usize = 60;

impl Cluster {
    /// Members that don't run yet, on a new log with these topics.
    #[must_use]
    pub fn new(
        seed: u64,
        members: usize,
        faults: Faults,
        topics: &[TopicSpec],
        applications: Vec<Application>,
    ) -> Self {
        let ahead = vec![0; members];
        let place = || Place { files: new_files(), ..Place::default() };
        let members =
            (0..members).map(|_| applications.iter().map(|_| place()).collect()).collect();
        let guarantee = ProcessingGuarantee::default();
        Self {
            world: World::new(seed, faults, topics),
            guarantee,
            seed,
            applications,
            members,
            ahead,
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// How many workers each has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.applications.len()
    }

    /// A worker that runs.
    #[must_use]
    pub fn worker(&self, member: usize, worker: usize) -> Option<&Worker> {
        self.members[member][worker].worker.as_ref()
    }

    /// Of the first worker of a member, if it runs.
    #[must_use]
    pub fn status(&self, member: usize) -> Option<WorkerStatus> {
        self.worker(member, 0).map(Worker::status)
    }

    /// What asks the workers that run, where there are standbys.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Queries> {
        let running = self.members.iter().flatten().filter(|place| place.worker.is_some());
        running.filter_map(|place| place.queries.as_ref())
    }

    /// Bytes of the committed layers of a member's first worker.
    #[must_use]
    pub fn layer_bytes(&self, member: usize) -> usize {
        self.members[member][0].state.as_ref().map_or(0, |state| state.layer_bytes())
    }

    /// Starts a worker on its files.
    pub fn start(&mut self, member: usize, worker: usize) {
        let log: Arc<dyn Log> = self.world.log().clone();
        let admin = log.admin().unwrap();
        let place = &mut self.members[member][worker];
        let mut options = StateOptions::new(admin.log_id().unwrap());
        options.layer_bytes = LAYER_BYTES;
        options.max_layer_age_ms = 500;
        let state = StateDir::open(place.files.clone(), options).unwrap();
        place.state = Some(state.clone());
        let mut settings = WorkerSettings::new(format!("member-{member}"));
        settings.max_poll_interval = Duration::from_secs(8);
        // A schedule must not depend on how fast the machine is.
        settings.turn = None;
        settings.guarantee = self.guarantee;
        settings.poll_records_max = 3;
        settings.process_records_max = 2;
        settings.repartition_purge_interval_ms = 200;
        // None, one, or one on every other member.
        let standbys = u32::try_from(self.seed / 2 % 3).unwrap_or(0);
        settings.num_standby_replicas = standbys;
        settings.standby_interval_ms = 20;
        if self.seed % 2 == 1 {
            // Partitions are paused and resumed all the time.
            settings.buffered_records_max = 2;
        }
        let application = &self.applications[worker];
        let mut worker = Worker::new(application.topology.clone(), log, state, settings, 1);
        (application.prepare)(&mut worker, &self.world);
        // Nobody asks where there are no standbys.
        place.queries = (standbys > 0).then(|| stale::queries(&worker));
        place.worker = Some(worker);
    }

    /// What a member's clock shows.
    fn now(&self, member: usize) -> i64 {
        self.world.now() + self.ahead[member]
    }

    /// A member's clock jumps ahead of the others', to an hour at most. For good: only another machine's is right again.
    pub fn jump(&mut self, member: usize, ms: i64) {
        self.ahead[member] = (self.ahead[member] + ms).min(AHEAD_MAX_MS);
        self.world.went_ahead(self.ahead[member]);
    }

    /// One step of a worker that runs.
    pub fn try_step(&mut self, member: usize, worker: usize) -> Result<Progress, WorkerError> {
        let now = self.now(member);
        self.members[member][worker].worker.as_mut().expect("it runs").step(now)
    }

    /// One step of a worker; one that doesn't run is started, one that can't go on is started anew later.
    pub fn step(&mut self, member: usize, worker: usize) -> Progress {
        if self.worker(member, worker).is_none() {
            self.start(member, worker);
        }
        match self.try_step(member, worker) {
            // It and its zombie fenced each other, and a supervisor starts it again.
            Err(WorkerError::FencedTwice { .. }) => self.stopped(member, worker),
            Ok(Progress::Stopped) => panic!("member {member}, worker {worker} stopped by itself"),
            Ok(progress) => progress,
            Err(error) => panic!("member {member}, worker {worker}: {error}"),
        }
    }

    fn stopped(&mut self, member: usize, worker: usize) -> Progress {
        self.members[member][worker].worker = None;
        Progress::Stopped
    }

    /// One step of each zombie of a member.
    pub fn step_zombies(&mut self, member: usize) {
        let now = self.now(member);
        for place in &mut self.members[member] {
            let Some(zombie) = &mut place.zombie else { continue };
            match zombie.step(now) {
                Ok(Progress::Busy | Progress::IdleUntil(_)) => {}
                Ok(Progress::Stopped) | Err(WorkerError::FencedTwice { .. }) => place.zombie = None,
                Err(error) => panic!("a zombie of member {member}: {error}"),
            }
        }
    }

    /// kill -9 of a member: nothing is closed, unflushed files are lost. False: nobody ran.
    pub fn crash(&mut self, member: usize) -> bool {
        let mut ran = false;
        for place in &mut self.members[member] {
            // Dropping says no goodbye: the group waits for the end of the session.
            ran |= place.worker.take().is_some() | place.zombie.take().is_some();
            place.files.crash(Crash::Process);
        }
        ran
    }

    /// Its machine burns down.
    pub fn lose(&mut self, member: usize) {
        self.crash(member);
        self.ahead[member] = 0;
        self.members[member].iter_mut().for_each(|place| place.files = new_files());
    }

    /// The member stands still; another process of its name starts on a copy of nothing. False: nobody ran, or all have a
    /// zombie.
    pub fn freeze(&mut self, member: usize) -> bool {
        let mut froze = false;
        for place in &mut self.members[member] {
            if place.zombie.is_none()
                && let Some(worker) = place.worker.take()
            {
                place.zombie = Some(worker);
                place.files = new_files();
                froze = true;
            }
        }
        froze
    }

    /// Power loss: the log keeps what was synced, members keep what they flushed.
    pub fn crash_machine(&mut self) {
        for place in self.members.iter_mut().flatten() {
            place.worker = None;
            place.zombie = None;
            place.files.crash(Crash::Machine);
        }
        self.world.lose_power();
    }

    /// Closes a member in order; other members stand still meanwhile.
    pub fn close(&mut self, member: usize) {
        for worker in 0..self.workers() {
            let mut left = ROUNDS_MAX;
            while let Some(running) = &mut self.members[member][worker].worker {
                running.close();
                match self.try_step(member, worker) {
                    Ok(Progress::Busy | Progress::IdleUntil(_)) => {}
                    Ok(Progress::Stopped) | Err(WorkerError::FencedTwice { .. }) => {
                        self.stopped(member, worker);
                    }
                    Err(error) => panic!("member {member}, worker {worker} closes: {error}"),
                }
                self.world.pass(1);
                self.world.tick();
                left -= 1;
                assert!(left > 0, "member {member}, worker {worker} does not close");
            }
        }
    }

    /// Steps a member's first worker, a millisecond each, until it has come somewhere.
    pub fn run_until(&mut self, member: usize, reached: impl Fn(&Worker) -> bool) {
        for _ in 0..ROUNDS_MAX {
            self.step(member, 0);
            if self.worker(member, 0).is_some_and(&reached) {
                return;
            }
            self.world.pass(1);
            self.world.tick();
        }
        panic!("member {member} never came there");
    }

    /// As [`run_until`](Self::run_until) for any worker, but gives up after a while.
    pub(super) fn approach(
        &mut self,
        member: usize,
        worker: usize,
        reached: impl Fn(&Worker) -> bool,
    ) {
        for _ in 0..APPROACH_MAX {
            self.step(member, worker);
            if self.worker(member, worker).is_some_and(&reached) {
                return;
            }
        }
    }

    /// Runs everybody, zombies too, without faults until `done`, which is asked now and then; false: never.
    pub fn settle_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        self.world.faults().end();
        for round in 0..ROUNDS_MAX {
            let mut idle_until = i64::MAX;
            for member in 0..self.members() {
                self.step_zombies(member);
                for worker in 0..self.workers() {
                    idle_until = idle_until.min(match self.step(member, worker) {
                        Progress::IdleUntil(at) => at - self.ahead[member],
                        Progress::Busy | Progress::Stopped => 0,
                    });
                }
            }
            // Where nobody has anything to do, only time helps.
            self.world.pass((idle_until - self.world.now()).clamp(1, IDLE_MS));
            self.world.tick();
            if round % 32 == 0 && done(self) {
                return true;
            }
        }
        false
    }

    /// What everybody is doing, for a person.
    #[must_use]
    pub fn doing(&self) -> Vec<WorkerStatus> {
        let places = self.members.iter().flatten();
        places.filter_map(|place| place.worker.as_ref()).map(Worker::status).collect()
    }
}

fn new_files() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::with_crashes())
}
