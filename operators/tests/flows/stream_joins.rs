//! Joins of two streams.

use operators::{JoinWindows, KStream, Topology};

use super::{Case, ValueKind, builder, case, shown, strings, texts};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("stream_stream_inner", || inner(windows()), ValueKind::Text),
        case("stream_stream_left", || left(windows()), ValueKind::Text),
        case("stream_stream_outer", || outer(windows()), ValueKind::Text),
        case("stream_stream_inner_asymmetric", || inner(windows().before(30)), ValueKind::Text),
        case("stream_stream_outer_asymmetric", || outer(windows().before(30)), ValueKind::Text),
        case("stream_stream_left_throttled", || left(throttled()), ValueKind::Text),
        case("stream_stream_outer_throttled", || outer(throttled()), ValueKind::Text),
        case("stream_stream_self", with_itself, ValueKind::Text),
    ]
}

fn windows() -> JoinWindows {
    JoinWindows::of_time_difference(100).grace(50)
}

fn throttled() -> JoinWindows {
    windows().emit_interval(1000)
}

fn flow(
    join: impl FnOnce(KStream<str, str>, KStream<str, str>) -> KStream<str, String>,
) -> Topology {
    let builder = builder();
    join(builder.stream(&texts("left")), builder.stream(&texts("right"))).to(&strings("out"));
    builder.build().unwrap()
}

fn inner(windows: JoinWindows) -> Topology {
    flow(|left, right| left.join_stream("j", &right, windows, |l, r| format!("{l}|{r}")))
}

fn left(windows: JoinWindows) -> Topology {
    flow(|left, right| {
        left.left_join_stream("j", &right, windows, |l, r| format!("{l}|{}", shown(r)))
    })
}

fn outer(windows: JoinWindows) -> Topology {
    flow(|left, right| {
        left.outer_join_stream("j", &right, windows, |l, r| format!("{}|{}", shown(l), shown(r)))
    })
}

fn with_itself() -> Topology {
    let builder = builder();
    let stream = builder.stream(&texts("in"));
    let joined = stream.join_stream("j", &stream, windows(), |l, r| format!("{l}|{r}"));
    joined.to(&strings("out"));
    builder.build().unwrap()
}
