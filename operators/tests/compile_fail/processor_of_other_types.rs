//! A processor of text isn't put behind a stream of numbers.

use operators::{BoxError, I64Be, Processor, ProcessorContext, Record, StreamsBuilder, Topic, Utf8};

struct Shout;

impl Processor<str, str, str, str> for Shout {
    fn process(
        &mut self,
        record: Record<'_, str, str>,
        ctx: &mut ProcessorContext<'_, str, str>,
    ) -> Result<(), BoxError> {
        ctx.forward(record);
        Ok(())
    }
}

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    numbers.process::<str, str>("shout", &[], |_| Box::new(Shout));
}
