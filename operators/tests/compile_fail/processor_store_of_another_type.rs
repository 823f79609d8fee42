//! A store holds what its definition says.

use operators::{
    BoxError, I64Be, KeyValueDef, KeyValueStore, Processor, ProcessorContext, Record, StreamsBuilder,
    Topic, Utf8,
};

struct Last {
    rows: KeyValueStore<str, str>,
}

impl Processor<str, i64, str, i64> for Last {
    fn process(
        &mut self,
        record: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, i64>,
    ) -> Result<(), BoxError> {
        if let Some(key) = record.key {
            self.rows.put(ctx.state(), key, record.value)?;
        }
        Ok(())
    }
}

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let numbers = builder.stream(&Topic::<str, i64>::new("numbers", Utf8, I64Be));
    let last = KeyValueDef::<str, i64>::new("last", Utf8, I64Be);
    numbers.process::<str, i64>("p", &[last.def()], move |stores| {
        Box::new(Last { rows: stores.key_value(&last) })
    });
}
