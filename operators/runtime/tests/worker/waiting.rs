//! What waits for something outside: calls for their answers, parked keys for a person. Both are shown, and a key is let
//! go once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use metrics::with_local_recorder;
use operators::{AsyncCall, CallError, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Completion, LetGo, ParkedError, Worker, let_go, parked_keys};

use crate::Scene;
use crate::recorder::Metrics;

fn ask() -> AsyncCall<str, str> {
    AsyncCall::new("ask", Utf8, Utf8).retry(9, 1, 1)
}

/// Asks a service about each record; what is broken fails behind it.
fn topology(broken: &Arc<AtomicBool>) -> Topology {
    let builder = StreamsBuilder::new("waits");
    let broken = Arc::clone(broken);
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    builder
        .stream(&text("asked"))
        .map_async(&ask(), |_, value| value.to_owned(), |_, _, reply| reply.to_owned())
        .to(&Topic::<str, String>::new("answers", Utf8, Utf8));
    builder
        .stream(&text("in"))
        .try_map_values(move |value| match broken.load(Ordering::SeqCst) {
            true => Err("broken"),
            false => Ok(value.to_owned()),
        })
        .park_key("stuck")
        .to(&Topic::<str, String>::new("out", Utf8, Utf8));
    builder.build().unwrap()
}

type Open = Arc<Mutex<Vec<Completion<str>>>>;

fn scene() -> Scene {
    Scene::new(&[("asked", 1), ("answers", 1), ("in", 2), ("out", 2)])
}

/// A worker whose calls wait in `open`.
fn worker(scene: &Scene, broken: &Arc<AtomicBool>, open: &Open) -> Worker {
    let mut worker = scene.worker(topology(broken));
    let open = Arc::clone(open);
    worker.on_call(&ask(), move |_, _, completion| open.lock().unwrap().push(completion));
    worker
}

/// What got through, wherever its key belongs.
fn out(scene: &Scene) -> Vec<String> {
    (0..2).flat_map(|partition| scene.values("out", partition)).collect()
}

fn names(keys: [&str; 2]) -> impl Iterator<Item = String> {
    keys.map(str::to_owned).into_iter()
}

#[test]
fn status_and_metrics_tell_what_waits() {
    let (scene, broken, open) = (scene(), Arc::new(AtomicBool::new(true)), Open::default());
    let mut worker = worker(&scene, &broken, &open);
    scene.append(("asked", 0), 1, names(["a", "b"]));
    scene.append(("in", 1), 1, names(["k", "k"]));
    let metrics = Metrics::default();
    let begun = scene.0.now();
    with_local_recorder(&metrics, || {
        scene.step(&mut worker, |scene| {
            open.lock().unwrap().len() == 2
                && parked_keys(scene.0.log.as_ref(), &topology(&broken))
                    .unwrap()
                    .iter()
                    .any(|parked| parked.key.records == 2)
        });
        scene.0.pass(3_000);
        worker.report_waiting(&worker.status(), scene.0.now());
    });
    let calls = "application=waits operator=ask thread=0";
    let keys = "application=waits operator=stuck thread=0";
    for (name, value) in [("pending", 2.0), ("in_flight", 2.0)] {
        assert_eq!(metrics.gauge(&format!("stream_calls_{name} {calls}")), value, "{name}");
    }
    for (name, value) in [("keys", 1.0), ("records", 2.0)] {
        assert_eq!(metrics.gauge(&format!("stream_parked_{name} {keys}")), value, "{name}");
    }
    let waited = (scene.0.now() - begun) as f64 / 1_000.0;
    for name in ["stream_calls_oldest_seconds ", "stream_parked_oldest_seconds "] {
        let labels = if name.contains("calls") { calls } else { keys };
        let age = metrics.gauge(&format!("{name}{labels}"));
        assert!((3.0..=waited).contains(&age), "{name}{age} of {waited}");
    }
    let waits: Vec<_> = worker.status().tasks.into_iter().flat_map(|task| task.parked).collect();
    assert_eq!(waits.iter().map(|it| (it.keys, it.records)).max(), Some((1, 2)));

    // One call fails and is tried again, the other is answered; the key is let go.
    open.lock().unwrap().remove(0).complete(Err(CallError::Failed("busy".to_owned())));
    open.lock().unwrap().remove(0).complete(Ok("yes"));
    broken.store(false, Ordering::SeqCst);
    let stuck = [("stuck".to_owned(), b"k".to_vec())];
    let log = scene.0.log.as_ref();
    let_go(log, &topology(&broken), &stuck, LetGo::Release, 2).unwrap();
    with_local_recorder(&metrics, || {
        scene.step(&mut worker, |scene| {
            !open.lock().unwrap().is_empty() && out(scene) == ["k", "k"]
        });
        worker.report_waiting(&worker.status(), scene.0.now());
    });
    assert_eq!(metrics.gauge(&format!("stream_calls_pending {calls}")), 1.0);
    assert_eq!(metrics.gauge(&format!("stream_parked_records {keys}")), 0.0);
    assert_eq!(metrics.gauge(&format!("stream_parked_oldest_seconds {keys}")), 0.0);
    let attempts = "stream_call_attempts_total application=waits operator=ask outcome=";
    let ended =
        ["replied", "failed"].map(|outcome| metrics.counter(&format!("{attempts}{outcome}")));
    assert_eq!(ended, [1, 1]);
    assert_eq!(metrics.counter("stream_call_retries_total application=waits operator=ask"), 1);
}

#[test]
fn a_parked_key_is_let_go_once_though_it_is_asked_for_twice() {
    let (scene, broken) = (scene(), Arc::new(AtomicBool::new(true)));
    let topology = topology(&broken);
    let log = scene.0.log.as_ref();
    let parked = || parked_keys(log, &topology).unwrap();
    let mut running = worker(&scene, &broken, &Open::default());
    scene.append(("in", 1), 1, names(["k", "l"]));
    scene.step(&mut running, |_| parked().len() == 2);
    let found = parked();
    let shown: Vec<_> = found.iter().map(|it| (&it.key.key[..], &*it.key.cause)).collect();
    assert_eq!(shown, [(&b"k"[..], "broken"), (&b"l"[..], "broken")]);
    assert!(found.iter().all(|it| it.partition == 1 && !it.commanded && it.key.since_ms > 0));
    scene.close(running);

    // The application doesn't run: the first command stays on its way, the second is refused.
    let let_go = |key: &[u8], how| {
        let twice = [(); 2].map(|()| ("stuck".to_owned(), key.to_vec()));
        let_go(log, &topology, &twice, how, 2)
    };
    let_go(b"k", LetGo::Release).unwrap();
    let refused = let_go(b"k", LetGo::Discard).unwrap_err();
    assert!(matches!(refused, ParkedError::OnItsWay { .. }), "{refused}");
    assert!(refused.to_string().contains("\"k\" of `stuck`"), "{refused}");
    assert_eq!(scene.values("waits-stuck-control", 1), ["release"]);
    assert_eq!(parked().iter().filter(|it| it.commanded).count(), 1);

    let mut running = worker(&scene, &broken, &Open::default());
    broken.store(false, Ordering::SeqCst);
    scene.step(&mut running, |_| parked().len() == 1);
    assert_eq!(out(&scene), ["k"]);
    let refused = let_go(b"k", LetGo::Release).unwrap_err();
    assert!(matches!(refused, ParkedError::NotParked { .. }), "{refused}");
    let_go(b"l", LetGo::Discard).unwrap();
    scene.step(&mut running, |_| parked().is_empty());
    assert_eq!(out(&scene), ["k"]);
}

#[test]
fn who_lets_keys_go_at_the_same_time_is_fenced() {
    let (scene, broken) = (scene(), Arc::new(AtomicBool::new(true)));
    let topology = topology(&broken);
    let log = scene.0.log.as_ref();
    let mut running = worker(&scene, &broken, &Open::default());
    scene.append(("in", 1), 1, names(["k", "k"]));
    scene.step(&mut running, |_| !parked_keys(log, &topology).unwrap().is_empty());
    let mut other = log::Log::txn_producer(log, "parked-keys", "parked-keys-waits").unwrap();
    other.init().unwrap();
    let_go(log, &topology, &[("stuck".to_owned(), b"k".to_vec())], LetGo::Discard, 2).unwrap();
    assert!(matches!(other.begin(), Err(log::LogError::Fenced(_))));
}
