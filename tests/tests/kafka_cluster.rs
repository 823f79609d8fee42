//! Ring 4 of a cluster: three brokers, three replicas, two of them in sync. They are restarted one after the other under
//! load, one is killed with all it leads, and at last too few are left to accept anything. The members wait and go on.
//!
//! `KAFKA_CLUSTER_ROUNDS=5 cargo test --workspace --all-features --test kafka_cluster -- rolling --nocapture` is the long
//! run: so many rounds of it all instead of one.
//!
//! Only with `KAFKA_CLUSTER=1`.

use std::time::{Duration, Instant};

use system_tests::cluster::{Cluster, Outage};
use system_tests::trial::{self, Trial};

/// How many rounds the long run has.
const ROUNDS: &str = "KAFKA_CLUSTER_ROUNDS";
const NODES: u32 = 3;
/// Longer than a record waits for its acknowledgement.
const TOO_FEW: Duration = Duration::from_secs(12);

#[test]
fn a_rolling_restart_a_killed_leader_and_too_few_replicas_cost_nothing() {
    let Some(cluster) = Cluster::start(NODES, &[]).unwrap() else { return };
    let rounds = std::env::var(ROUNDS).map_or(1, |rounds| rounds.parse().unwrap());
    let mut trial = Trial::start(&cluster, "cluster", 3);
    trial.work(200);
    let began = Instant::now();
    for round in 0..rounds {
        for node in 1..=NODES {
            cluster.fail(node, Outage::Stopped).unwrap();
            // Two are enough for everything.
            trial.work(100);
            cluster.mend(node, Outage::Stopped).unwrap();
            trial.work(100);
            eprintln!("{:.0} s: broker {node} was restarted", began.elapsed().as_secs_f64());
        }

        // Each broker leads a third of the partitions, the group or transactions.
        let leader = 1 + round % NODES;
        cluster.fail(leader, Outage::Killed).unwrap();
        trial.work(100);
        trial.kill(0);
        trial.bring(0);
        trial.work(100);
        cluster.mend(leader, Outage::Killed).unwrap();
        trial.work(100);
        eprintln!("{:.0} s: a leader was killed", began.elapsed().as_secs_f64());

        // Two of three stand still or are gone: nobody accepts anything, and whoever comes now finds no group.
        let (gone, halted) = (1 + (round + 1) % NODES, 1 + (round + 2) % NODES);
        cluster.fail(gone, Outage::Stopped).unwrap();
        cluster.fail(halted, Outage::Halted).unwrap();
        trial.kill(1);
        trial.bring(1);
        trial.hold(TOO_FEW);
        cluster.wake(halted).unwrap();
        cluster.mend(gone, Outage::Stopped).unwrap();
        trial.work(200);
        eprintln!("{:.0} s: too few replicas for a while", began.elapsed().as_secs_f64());
    }
    let kills = trial.kills;
    let records = trial.check();
    eprintln!(
        "{rounds} rounds, {} failures of brokers, {kills} kills of members, {records} records, each once and in order",
        rounds * 6
    );
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_member() {
    trial::the_member();
}
