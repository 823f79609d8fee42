//! A state folder without room: its worker stops and says where; once there is room the next one goes on.

use std::sync::Arc;

use log::Log;
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerError, WorkerSettings};
use state_stores::{Crash, StateDir, StateOptions};

use crate::Scene;
use crate::torn::TornEngine;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("counting");
    let words = builder.stream::<str, str>(&Topic::new("words", Utf8, Utf8));
    let counts = words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    counts.to_stream().to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

fn worker(scene: &Scene, files: &Arc<TornEngine>) -> Worker {
    let options = StateOptions { max_layer_age_ms: 20, ..StateOptions::new(scene.0.log_id()) };
    let state = StateDir::open(Arc::clone(files) as _, options).unwrap();
    let log: Arc<dyn Log> = scene.0.log.clone();
    Worker::new(topology(), log, state, WorkerSettings::new("here"), 1)
}

/// Counts of the word, as they came out.
fn counts(scene: &Scene) -> Vec<u8> {
    let mut counts = Vec::new();
    crate::read_all(scene.0.reader("out", 0).as_mut(), |record| {
        counts.extend(record.value.unwrap().last());
    });
    counts
}

#[test]
fn a_worker_without_room_for_its_state_stops_and_the_next_one_goes_on() {
    let scene = Scene::new(&[("words", 1), ("out", 1)]);
    let files = Arc::new(TornEngine::default());
    let say = |times| scene.append(("words", 0), 1, vec!["a".to_owned(); times].into_iter());
    let mut running = worker(&scene, &files);
    say(3);
    scene.step(&mut running, |scene| counts(scene).len() == 3);

    // Rows, but not their marks; then neither.
    for (writes, total) in [(1, 6), (0, 9)] {
        files.fail_after(Some(writes), 2);
        say(1);
        let stopped = loop {
            match running.step(scene.0.now()) {
                Ok(_) => scene.0.pass(1),
                Err(stopped) => break stopped,
            }
            scene.0.log.tick().unwrap();
        };
        assert!(matches!(stopped, WorkerError::State { .. }), "{stopped:?}");
        let text = stopped.to_string();
        assert!(text.contains("/the/folder") && text.contains("make room"), "{text}");

        drop(running);
        // RocksDB may have put into files what it was given.
        files.behind.crash(Crash::AfterPrefix(1));
        files.fail_after(None, 0);
        // The group finds out that the member is dead.
        scene.0.pass(60_000);
        running = worker(&scene, &files);
        say(2);
        scene.step(&mut running, |scene| counts(scene).len() == total);
    }
    scene.close(running);
    let counts = counts(&scene);
    assert!(counts.iter().copied().eq(1..=9), "each word once: {counts:?}");
}
