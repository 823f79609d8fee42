//! A state machine sets states of its own type, and emits results of its own type.

use operators::{I64Be, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    numbers.state_machine::<i64, String>("sums", I64Be, |_, _, _, ctx| {
        ctx.set("text");
        ctx.emit(1);
    });
}
