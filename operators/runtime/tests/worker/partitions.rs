//! What a task is told of its topics' partitions: a source checks where keys lie (J23), a sink is told where to write
//! (D08), a repartition topic has as many as the flow says (D07).

use log::Log;
use operators::{
    Consumed, ErrorPolicy, Partitions, Repartitioned, StreamsBuilder, Topic, Topology, Utf8,
};
use state_stores::partition::partition_for_key;

use crate::Scene;

fn topology() -> Topology {
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    let builder = StreamsBuilder::new("move");
    let checked = builder.stream_with(&text("in"), Consumed::default().check_partitions());
    let five = Repartitioned::as_("five").with_number_of_partitions(5);
    checked.on_error(ErrorPolicy::DeadLetter).repartition(five).to_partitioned(
        &text("out"),
        |record, count| match record.value {
            Some("everywhere") => Partitions::All,
            _ => Partitions::One(count - 1),
        },
    );
    builder.build().unwrap()
}

#[test]
fn keys_are_checked_and_partitions_chosen_by_the_topics_that_are_there() {
    let scene = Scene::new(&[("in", 3), ("out", 4)]);
    let keys = || (0..20).map(|n| format!("key {n}")).chain(["everywhere".to_owned()]);
    let right = |key: &String| partition_for_key(key.as_bytes(), 3) == 1;
    // All of them: those that hash to it, and those that don't.
    scene.append(("in", 1), 1_000, keys());
    scene.append(("in", partition_for_key(b"everywhere", 3)), 1_000, keys().skip(20));
    let misplaced = keys().filter(|key| !right(key)).count();
    let placed = keys().take(20).filter(right).count();
    scene.run(topology(), |scene| {
        let everywhere = 2 - usize::from(!right(&"everywhere".to_owned()));
        scene.values("dead_letters", 0).len() == misplaced
            && scene.values("out", 3).len() == placed + everywhere
    });
    assert!(misplaced > 0 && placed > 0);
    for partition in 0..3 {
        let values = scene.values("out", partition);
        assert!(!values.is_empty() && values.iter().all(|value| value == "everywhere"));
    }
    let described = scene.0.log.admin().unwrap().describe(&["move-five-repartition"]).unwrap();
    assert_eq!(described[0].as_ref().unwrap().partitions, 5);
}
