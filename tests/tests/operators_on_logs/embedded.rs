//! The same on the embedded log: one process has log, worker, service and script, and is killed again and again. Who
//! comes after it goes on with the script where the log says that it ended.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Log;
use log::contract::{LogFixture, Scene, Victim, scene::unique};
use log::embedded::{EmbeddedLog, EmbeddedOptions};
use state_stores::{RocksEngine, RocksOptions};
use system_tests::{Member, member};

use crate::script::{ACTS, EVENTS, MENDED_IN, acts};
use crate::{check_calls, make_topics, mend, outcome, script, seen, worker};

/// Lines that are written at a time.
const BATCH: usize = 60;
/// Events that may be written and not come through yet: a kill is to find work under way, before and after the cause of
/// failures is mended.
const AHEAD: usize = 200;

struct Folder {
    log: Arc<dyn Log>,
}

impl Folder {
    fn open(folder: &Path) -> Self {
        let options = RocksOptions { wal: true, ..RocksOptions::default() };
        let engine = RocksEngine::open(folder.join("log"), options).unwrap();
        let log = EmbeddedLog::open(Arc::new(engine), EmbeddedOptions::default()).unwrap();
        Self { log: Arc::new(log) }
    }
}

impl LogFixture for Folder {
    fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn kill_in_transaction(&self, _: &Victim) -> Arc<dyn Log> {
        unreachable!("no case of the contract is played here")
    }
}

/// Writes the script from where the log has it, and says in a file how much has come through.
pub(crate) fn member(name: &str, folder: &Path) {
    let fixture = Folder::open(folder);
    let scene = Scene::on(fixture.log(), &fixture, name);
    make_topics(&scene);
    let worker = worker(&scene, &fixture, folder, "0");
    let meanwhile = || {
        let ready = || scene.admin.describe(&[&scene.name(script::CONTROL)]).unwrap() != [None];
        scene.until("the flow has made its topics", ready);
        let (written, mut lasting, mut events) = (script::written(&scene), 0, 0);
        for (act, lines) in acts().iter().enumerate() {
            if act == MENDED_IN {
                until_seen(&scene, folder, events);
                mend(folder);
            }
            for batch in lines.chunks(BATCH) {
                lasting += script::lasting(batch);
                events += batch.iter().filter(|line| line.topic == "events").count();
                if lasting > written {
                    script::write(&scene, batch);
                    until_seen(&scene, folder, events.saturating_sub(AHEAD));
                }
            }
        }
        until_seen(&scene, folder, events);
        let expected = outcome::expected(&|base| scene.name(base));
        outcome::wait_for(&scene, &expected);
        report(folder, usize::MAX);
    };
    member::serve(worker, meanwhile).unwrap();
}

/// Waits until so many events have come through, and tells the parent.
fn until_seen(scene: &Scene, folder: &Path, least: usize) {
    scene.until(&format!("{least} events are seen"), || {
        let seen = seen(scene);
        report(folder, seen);
        seen >= least
    });
}

fn report(folder: &Path, seen: usize) {
    let new = folder.join("seen.new");
    std::fs::write(&new, seen.to_string()).unwrap();
    std::fs::rename(&new, folder.join("seen")).unwrap();
}

fn until_reported(folder: &Path, least: usize, running: &mut Member) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = std::fs::read_to_string(folder.join("seen")).unwrap_or_default();
        if seen.parse().is_ok_and(|seen: usize| seen >= least) {
            return;
        }
        assert!(!running.is_gone().unwrap(), "the member ended by itself");
        assert!(Instant::now() < deadline, "{seen} events instead of {least}");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_with_the_embedded_log_that_is_killed_gives_what_the_test_driver_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, name) = (folder.path(), unique("operators"));
    let told = format!("embedded 0 {name} {}", folder.display());
    let start = || Member::spawn(&told, Stdio::inherit()).unwrap();
    let mut running = start();
    for events in [EVENTS / 2, EVENTS * 3 / 2, EVENTS * 5 / 2, EVENTS * 4, EVENTS * ACTS - 100] {
        until_reported(folder, events, &mut running);
        running.kill().unwrap();
        running = start();
    }
    until_reported(folder, usize::MAX, &mut running);
    running.leave().unwrap();
    let fixture = Folder::open(folder);
    let scene = Scene::on(fixture.log(), &fixture, &name);
    outcome::check(&scene, &outcome::expected(&|base| scene.name(base)));
    outcome::check_letters_to_nowhere(&scene);
    check_calls(&scene);
}
