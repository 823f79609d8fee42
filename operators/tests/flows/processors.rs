//! The Processor API.

use operators::{BoxError, Processor, ProcessorContext, Record, Topology};

use super::{Case, ValueKind, builder, case, longs, shown, strings};

pub(super) fn cases() -> Vec<Case> {
    vec![case("process_values", process_values, ValueKind::Text)]
}

struct FirstAndSecond;

impl Processor<str, i64, str, String> for FirstAndSecond {
    fn process(
        &mut self,
        record: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(record.with_value(Some(&format!("first:{}", shown(record.value)))));
        let mut headers = record.headers.clone();
        headers.push("p", b"2");
        let second = format!("second:{}", shown(record.value));
        ctx.forward(record.with_value(Some(&second)).with_headers(&headers));
        Ok(())
    }
}

fn process_values() -> Topology {
    let builder = builder();
    let processed = builder.stream(&longs("in")).process("p", &[], |_| Box::new(FirstAndSecond));
    processed.to(&strings("out"));
    builder.build().unwrap()
}
