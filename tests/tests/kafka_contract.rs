//! The log's contract suite against a real Kafka broker: classic groups for
//! every case, KIP-848 groups for those about membership. A client process is
//! killed with SIGKILL in the middle of a transaction.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use log::Log;
use log::contract::{self, LogFixture, Victim, kill::Killed};
use log::kafka::{GroupProtocol, KafkaLog, KafkaOptions};

/// Set in the child that is to be killed: the victim's name.
const VICTIM: &str = "KAFKA_CONTRACT_VICTIM";

struct Kafka {
    options: KafkaOptions,
}

impl Kafka {
    /// None in the rings that run without servers.
    fn from_environment() -> Option<Self> {
        match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(servers) => Some(Self { options: KafkaOptions::new(servers) }),
            Err(_) if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") => None,
            Err(_) => panic!(
                "KAFKA_BOOTSTRAP_SERVERS is not set: run `export $(compose/dev/up --env)` first, \
                 or set RINGS=fast to leave out what needs servers"
            ),
        }
    }

    fn with(mut self, protocol: GroupProtocol) -> Self {
        self.options.group_protocol = protocol;
        self
    }
}

impl LogFixture for Kafka {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::new(self.options.clone()))
    }

    fn session_timeout(&self) -> Duration {
        // The least that brokers accept by default.
        Duration::from_secs(6)
    }

    fn kill_in_transaction(&self, victim: &Victim) -> Arc<dyn Log> {
        let mut child = Command::new(std::env::current_exe().expect("this test's own program"));
        child.args(["--exact", "the_victim", "--nocapture"]).env(VICTIM, &victim.name);
        Killed::after_report(child);
        self.log()
    }
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_victim() {
    let (Ok(name), Some(kafka)) = (std::env::var(VICTIM), Kafka::from_environment()) else {
        return;
    };
    Victim { name }.run_until_killed(kafka.log(), &kafka);
}

log::contract_tests!(match Kafka::from_environment() {
    Some(kafka) => kafka,
    None => return,
});

/// Members whose assignment the broker decides (KIP-848).
mod broker_assigned {
    use super::*;

    fn judge(case: fn(&dyn LogFixture)) {
        if let Some(kafka) = Kafka::from_environment() {
            case(&kafka.with(GroupProtocol::Consumer));
        }
    }

    #[test]
    fn commit_is_atomic_over_topics_and_offsets() {
        judge(contract::transactions::commit_is_atomic_over_topics_and_offsets);
    }

    #[test]
    fn a_rebalance_waits_for_the_open_transaction() {
        judge(contract::groups::a_rebalance_waits_for_the_open_transaction);
    }

    #[test]
    fn a_successor_resumes_at_the_committed_offset() {
        judge(contract::groups::a_successor_resumes_at_the_committed_offset);
    }

    #[test]
    fn leaving_hands_over() {
        judge(contract::membership::leaving_hands_over);
    }

    #[test]
    fn nothing_arrives_before_the_answer() {
        judge(contract::membership::nothing_arrives_before_the_answer);
    }

    #[test]
    fn pause_resume_and_seek() {
        judge(contract::membership::pause_resume_and_seek);
    }

    #[test]
    fn a_group_reader_passes_markers() {
        judge(contract::membership::a_group_reader_passes_markers);
    }
}
