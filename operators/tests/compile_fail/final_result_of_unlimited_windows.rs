//! A window without an end has no final result.
use operators::*;

fn main() {
    let builder = StreamsBuilder::new("app");
    let grouped = builder.stream(&Topic::<str, i64>::new("in", Utf8, I64Be)).group_by_key();
    grouped.windowed_by(UnlimitedWindows::of()).emit_strategy(EmitStrategy::OnWindowClose);
}
