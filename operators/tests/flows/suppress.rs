//! Results held back until a window closes or a time is over.

use operators::{BufferConfig, Suppressed, TimeWindows, Topology};

use super::windows::{hopping, long_out, sessions, tumbling, windowed};
use super::{Case, KeyKind, ValueKind, builder, case, longs, store};

pub(super) fn cases() -> Vec<Case> {
    let windows =
        |name, flow, key| Case { name, flow, outputs: vec![("out", key, ValueKind::Long)] };
    let window = KeyKind::Window(100);
    vec![
        windows("suppress_window_close_tumbling", || closed(tumbling()), window),
        windows("suppress_window_close_hopping", || closed(hopping()), window),
        windows("suppress_window_close_session", closed_sessions, KeyKind::Session),
        case("suppress_time_limit", || limited(BufferConfig::unbounded()), ValueKind::Long),
        case("suppress_time_limit_max2", max2, ValueKind::Long),
        case("suppress_time_limit_table", table, ValueKind::Long),
    ]
}

fn closed(windows: TimeWindows) -> Topology {
    let builder = builder();
    let counts = windowed(&builder, windows).count(&store("w"));
    let closes = Suppressed::until_window_closes(BufferConfig::unbounded());
    long_out(builder, &counts.suppress("final", closes))
}

fn closed_sessions() -> Topology {
    let builder = builder();
    let counts = sessions(&builder).count(&store("s"));
    let closes = Suppressed::until_window_closes(BufferConfig::unbounded());
    long_out(builder, &counts.suppress("final", closes))
}

fn limited<F>(buffer: BufferConfig<F>) -> Topology {
    let builder = builder();
    let counts = builder.stream(&longs("in")).group_by_key().count(&store("c"));
    let held = counts.suppress("held", Suppressed::until_time_limit(100, buffer));
    held.to_stream().to(&longs("out"));
    builder.build().unwrap()
}

fn max2() -> Topology {
    limited(BufferConfig::max_records(2).emit_early_when_full())
}

fn table() -> Topology {
    let builder = builder();
    let table = builder.table("t", &longs("in"));
    let held = table.suppress("held", Suppressed::until_time_limit(100, BufferConfig::unbounded()));
    held.to_stream().to(&longs("out"));
    builder.build().unwrap()
}
