//! Topics that records name: the worker looks whether they are there, and never makes one.

use operators::{ErrorPolicy, Produced, StreamsBuilder, Topic, Topology, Utf8};

use crate::Scene;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("sorting");
    let produced = Produced::with(Utf8, Utf8).on_error(ErrorPolicy::DeadLetter);
    let mail = builder.stream::<str, str>(&Topic::new("mail", Utf8, Utf8));
    mail.to_named(produced, |letter| Some(format!("box-{}", letter.value?).into()));
    builder.build().unwrap()
}

#[test]
fn a_record_goes_to_a_topic_that_is_there() {
    let scene = Scene::new(&[("mail", 1), ("box-a", 3)]);
    let written = |scene: &Scene| (0..3).flat_map(|part| scene.values("box-a", part)).count();
    let mail = |to: &str| scene.append(("mail", 0), 1, [to.to_owned()].into_iter());
    mail("a");
    mail("b");
    let mut worker = scene.run(topology(), |scene| scene.values("dead_letters", 0).len() == 1);
    assert_eq!(scene.values("dead_letters", 0), ["b"]);
    assert_eq!(written(&scene), 1);
    let by_key = state_stores::partition::partition_for_key(b"a", 3);
    assert_eq!(scene.values("box-a", by_key), ["a"]);

    scene.0.make_topics([("box-b", 1)]);
    let later = scene.0.now() + 1_000;
    scene.step(&mut worker, |scene| scene.0.now() > later);
    mail("b");
    mail("a");
    scene.step(&mut worker, |scene| scene.values("box-b", 0) == ["b"]);
    scene.step(&mut worker, |scene| written(scene) == 2);
    assert_eq!(scene.values("dead_letters", 0).len(), 1);
}
