//! The real broker that `compose/dev/up` started, as the contract's fixture.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use log::Log;
use log::contract::{LogFixture, Victim, kill::Killed};
use log::kafka::{KafkaLog, KafkaOptions};

/// Set in the child that is to be killed: the victim's name.
pub(crate) const VICTIM: &str = "KAFKA_CONTRACT_VICTIM";

/// A Kafka cluster under test.
pub(crate) struct Kafka {
    /// How its clients are made.
    pub(crate) options: KafkaOptions,
}

impl Kafka {
    /// None in the rings that run without servers.
    pub(crate) fn from_environment() -> Option<Self> {
        match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(servers) => Some(Self { options: KafkaOptions::new(servers) }),
            Err(_) if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") => None,
            Err(_) => panic!(
                "KAFKA_BOOTSTRAP_SERVERS is not set: run `vars=$(compose/dev/up --env) && export $vars` \
                 first, or set RINGS=fast to leave out what needs servers"
            ),
        }
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
