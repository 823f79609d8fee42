//! A process that is killed in the middle of a transaction, and its successor.
//!
//! The victim is code, so that a fixture can run it wherever it can be killed:
//! in a child process (the test's own binary again, [`Killed`]) or, for a log in
//! memory, in place before a simulated crash.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::LogFixture;
use super::scene::{Scene, record, texts, unique};
use crate::{Log, TopicPartition};

const REPORT: &str = "in the middle of the transaction";

/// What is to be killed: commits one transaction, then hangs in a second one.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Names its topics, group and transactional id. Pass it to the child.
    pub name: String,
}

impl Victim {
    /// Runs until the middle of the second transaction, then calls
    /// `in_transaction` with everything still open.
    pub fn run(&self, log: Arc<dyn Log>, fixture: &dyn LogFixture, in_transaction: impl FnOnce()) {
        let scene = Scene::on(log, fixture, &self.name);
        let (input, output) = (scene.topic("in", 1), scene.topic("out", 2));
        scene.append(&input, 0, &["a", "b", "c"]);
        let mut member = scene.member("group", "00-victim", &[&input]);
        scene.until("the input is read", || {
            member.turn(&scene);
            member.records.len() == 3
        });
        let mut producer = scene.producer("txn");
        for (value, next) in [("committed", 1), ("lost", 2)] {
            producer.begin().unwrap();
            producer.send(&output, 0, record("k", value)).unwrap();
            producer.send(&output, 1, record("k", value)).unwrap();
            producer
                .send_offsets(
                    &[(TopicPartition::new(input.as_str(), 0), next)],
                    member.membership(),
                )
                .unwrap();
            producer.flush().unwrap();
            if value == "committed" {
                producer.commit().unwrap();
            }
        }
        in_transaction();
    }

    /// For the child process: runs, reports on standard output, and waits to
    /// be killed.
    pub fn run_until_killed(&self, log: Arc<dyn Log>, fixture: &dyn LogFixture) {
        self.run(log, fixture, || {
            println!("{REPORT}");
            std::io::stdout().flush().unwrap();
            loop {
                std::thread::park_timeout(Duration::from_secs(3600));
            }
        });
    }
}

/// A child that has been killed (SIGKILL) in the middle of its transaction.
#[derive(Debug)]
pub struct Killed(Child);

impl Killed {
    /// Starts `command` (which must call [`Victim::run_until_killed`]), waits
    /// for its report and kills it.
    pub fn after_report(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the victim starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let reported = output.lines().map_while(Result::ok).any(|line| line.contains(REPORT));
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
        assert!(reported, "the victim ended before its transaction was open");
        Self(child)
    }

    /// The process id it had.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

/// What was committed stands, what was open never shows, the successor takes
/// over the transactional id and the group.
pub fn a_kill_in_the_middle_of_a_transaction_leaves_nothing_of_it(fixture: &dyn LogFixture) {
    let victim = Victim { name: unique("kill") };
    let log = fixture.kill_in_transaction(&victim);
    let scene = Scene::on(log, fixture, &victim.name);
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 2));
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    assert_eq!(texts(&scene.read(&output, 2)), ["committed", "committed"]);
    let mut member = scene.member("group", "00-successor", &[&input]);
    assert_eq!(member.committed(&scene, &at), Some(1));
    scene.until("the successor has the rest of the input", || {
        member.turn(&scene);
        member.records.len() == 2
    });
    assert_eq!(texts(&member.records), ["b", "c"]);
    producer.begin().unwrap();
    producer.send(&output, 0, record("k", "again")).unwrap();
    producer.send_offsets(&[(at.clone(), 3)], member.membership()).unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&scene.read(&output, 2)), ["committed", "again", "committed"]);
    assert_eq!(member.committed(&scene, &at), Some(3));
    member.leave(&scene);
}
