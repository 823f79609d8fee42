//! Ring 4 of failing brokers: of three brokers one after the other is stopped, killed and halted under load and comes back,
//! in seeded random order, and members are killed meanwhile. Nothing is lost, doubled or rebuilt, and no member ends by
//! itself.
//!
//! `KAFKA_FAULTS=30 cargo test --workspace --all-features --test kafka_faults -- again_and_again --nocapture` is the long
//! run: so many failures of brokers instead of three, with two kills of members each, or `KAFKA_FAULTS_KILLS=<n>`, two at
//! least. `KAFKA_FAULTS_SEED=<n>` repeats the order of a run.
//!
//! Only with `KAFKA_CLUSTER=1`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use log::contract::Scene;
use runtime::simulation::Dice;
use system_tests::cluster::{Cluster, Outage};
use system_tests::trial::{self, Trial};

/// How many failures of brokers the long run has.
const FAULTS: &str = "KAFKA_FAULTS";
/// How many kills of members the long run has with each of them.
const KILLS: &str = "KAFKA_FAULTS_KILLS";
/// Which order.
const SEED: &str = "KAFKA_FAULTS_SEED";
const NODES: u32 = 3;
/// Longer than a transaction may be open and a member silent: whoever had one is fenced.
const HALTED: Duration = Duration::from_secs(12);
const HALTED_LONG: Duration = Duration::from_secs(20);

#[test]
fn brokers_that_fail_again_and_again_cost_nothing() {
    let Some(cluster) = Cluster::start(NODES, &[]).unwrap() else { return };
    let long: Option<usize> = std::env::var(FAULTS).ok().map(|faults| faults.parse().unwrap());
    let faults = long.unwrap_or(3);
    let asked = std::env::var(KILLS).ok().filter(|_| long.is_some());
    let kills: usize = asked.map_or(2, |kills| kills.parse().unwrap());
    let seed = std::env::var(SEED)
        .map_or_else(|_| u64::from(std::process::id()), |it| it.parse().unwrap());
    eprintln!("{SEED}={seed}");
    let mut dice = Dice::new(seed);
    let mut trial = Trial::start(&cluster, "faults", 3);
    trial.work(200);
    let began = Instant::now();
    let mut outages = Vec::new();
    for fault in 0..faults {
        if outages.is_empty() {
            outages = Outage::ALL.to_vec();
        }
        let outage = outages.swap_remove(dice.below(outages.len() as u64) as usize);
        let (slot, node) = (fault % 2, 1 + dice.below(NODES.into()) as u32);
        trial.work(50 + dice.below(300));
        cluster.fail(node, outage).unwrap();
        // One dies while a broker is away; half of them come back meanwhile.
        let early = dice.below(2) == 0;
        trial.kill(slot);
        if early {
            trial.bring(slot);
        }
        if outage == Outage::Halted {
            trial.hold(if long.is_some() { HALTED_LONG } else { HALTED });
        }
        cluster.mend(node, outage).unwrap();
        if !early {
            trial.bring(slot);
        }
        trial.work(50 + dice.below(300));
        if long.is_some() || fault == 0 {
            trial.kill(1 - slot);
            trial.bring(1 - slot);
        }
        for more in 2..kills {
            trial.work(20 + dice.below(60));
            trial.kill((slot + more) % 2);
            trial.bring((slot + more) % 2);
        }
        eprintln!(
            "{:.0} s: {} of {faults}: broker {node} {outage:?}",
            began.elapsed().as_secs_f64(),
            fault + 1
        );
    }
    trial.work(200);
    let kills = trial.kills;
    let records = trial.check();
    eprintln!(
        "{faults} failures of brokers, {kills} kills of members, {records} records, each once and in order"
    );
}

#[test]
fn a_member_that_pauses_for_longer_than_its_producer_is_remembered_goes_on() {
    let forgetful = [
        "transactional.id.expiration.ms=1000",
        "transaction.remove.expired.transaction.cleanup.interval.ms=500",
        "producer.id.expiration.ms=1000",
        "producer.id.expiration.check.interval.ms=500",
    ];
    let Some(cluster) = Cluster::start(1, &forgetful).unwrap() else { return };
    let mut trial = Trial::start(&cluster, "paused", 1);
    trial.work(200);
    trial.pause();
    let application = trial.stage.scene.name("application");
    let members = [0, 1].map(|slot| format!("{application}-member-{slot}-0"));
    trial.until("the broker forgets the members' transactional ids", |trial| {
        let known = transactional_ids(&trial.stage.scene);
        members.iter().all(|id| known.get(id) == Some(&false))
    });
    trial.resume();
    trial.work(200);
    trial.check();
}

/// Every transactional id that the broker ever knew, and whether it still does.
fn transactional_ids(scene: &Scene) -> BTreeMap<String, bool> {
    let mut known = BTreeMap::new();
    for found in scene.read_now("__transaction_state", 5) {
        // A version, a length, the id.
        let key = found.key.unwrap_or_default();
        let id = String::from_utf8_lossy(key.get(4..).unwrap_or_default()).into_owned();
        known.insert(id, found.value.is_some());
    }
    known
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_member() {
    trial::the_member();
}
