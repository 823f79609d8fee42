//! Only windows close.
use operators::*;

fn main() {
    let builder = StreamsBuilder::new("app");
    let table = builder.table("t", &Topic::<str, i64>::new("in", Utf8, I64Be));
    table.suppress("final", Suppressed::until_window_closes(BufferConfig::unbounded()));
}
