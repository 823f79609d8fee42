//! Where a source begins of which nothing was committed (D01).

use operators::{Consumed, OffsetReset, StreamsBuilder, Topic, Topology, Utf8};

use crate::Scene;

fn topology() -> Topology {
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    let builder = StreamsBuilder::new("begin");
    let latest = Consumed::default().with_offset_reset(OffsetReset::Latest);
    builder.stream(&text("all")).merge(&builder.stream_with(&text("new"), latest)).to(&text("out"));
    builder.build().unwrap()
}

#[test]
fn a_source_may_begin_at_its_end_but_goes_on_where_it_was() {
    let scene = Scene::new(&[("all", 1), ("new", 1), ("out", 1)]);
    let append =
        |topic, value: &str| scene.append((topic, 0), 1_000, [value.to_owned()].into_iter());
    let out = |scene: &Scene| {
        let mut values = scene.values("out", 0);
        values.sort();
        values
    };
    append("all", "1 all");
    append("new", "1 new");
    let mut worker = scene.run(topology(), |scene| out(scene) == ["1 all"]);
    append("new", "2 new");
    scene.step(&mut worker, |scene| out(scene) == ["1 all", "2 new"]);
    scene.close(worker);
    append("new", "3 new");
    scene.run(topology(), |scene| out(scene) == ["1 all", "2 new", "3 new"]);
}
