//! A final result can't go out early.
use operators::*;

fn held(table: KTable<Windowed<str>, i64>) -> KTable<Windowed<str>, i64> {
    table.suppress("final", Suppressed::until_window_closes(BufferConfig::max_records(10)))
}

fn main() {}
