//! The Processor API.

use operators::{
    BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, Headers, I64Be, KeyValueDef,
    KeyValueStore, Processor, ProcessorContext, Punctuation, PunctuationType, Record, StoreDef,
    Topology, Utf8,
};

use super::{Case, ValueKind, builder, case, longs, shown, strings};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("process_values", process_values, ValueKind::Text),
        case("process_punctuate", process_punctuate, ValueKind::Text),
    ]
}

struct FirstAndSecond;

impl FixedKeyProcessor<str, i64, String> for FirstAndSecond {
    fn process(
        &mut self,
        record: FixedKeyRecord<'_, str, i64>,
        ctx: &mut FixedKeyContext<'_, '_, str, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(record.with_value(Some(&format!("first:{}", shown(record.value())))));
        let mut headers = record.headers().clone();
        headers.push("p", b"2");
        let second = format!("second:{}", shown(record.value()));
        ctx.forward(record.with_value(Some(&second)).with_headers(&headers));
        Ok(())
    }
}

fn process_values() -> Topology {
    let builder = builder();
    let stream = builder.stream(&longs("in"));
    stream.process_values("p", &[], |_| Box::new(FirstAndSecond)).to(&strings("out"));
    builder.build().unwrap()
}

/// Counts per key, and in all.
struct Counts {
    counts: KeyValueStore<str, i64>,
    total: KeyValueStore<str, i64>,
}

const TOTAL: &str = "total";

impl Processor<str, i64, str, String> for Counts {
    fn process(
        &mut self,
        record: Record<'_, str, i64>,
        ctx: &mut ProcessorContext<'_, str, String>,
    ) -> Result<(), BoxError> {
        let total = self.total.get(ctx.state(), TOTAL)?.unwrap_or(0) + 1;
        self.total.put(ctx.state(), TOTAL, Some(&total))?;
        let Some(key) = record.key else { return Ok(()) };
        let row = match record.value {
            Some(_) => Some(self.counts.get(ctx.state(), key)?.unwrap_or(0) + 1),
            None => None,
        };
        self.counts.put(ctx.state(), key, row.as_ref())?;
        let result = format!("count:{}:{}", shown(row), shown(ctx.stream_time()));
        ctx.forward(record.with_value(Some(&result)));
        Ok(())
    }

    fn on_punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: i64,
        ctx: &mut ProcessorContext<'_, str, String>,
    ) -> Result<(), BoxError> {
        let mut rows = Vec::new();
        match punctuation.kind {
            PunctuationType::StreamTime => {
                let counts = self.counts.copy_of(ctx.state(), ..)?;
                rows.extend(counts.into_iter().map(|(key, n)| (key, format!("stream:{n}"))));
            }
            PunctuationType::WallClockTime => {
                let total = self.total.get(ctx.state(), TOTAL)?.unwrap_or(0);
                rows.push(("wall".to_owned(), format!("total:{total}")));
            }
        }
        for (key, value) in &rows {
            let headers = &Headers::new();
            ctx.forward(Record { key: Some(key), value: Some(value), timestamp, headers });
        }
        Ok(())
    }
}

fn process_punctuate() -> Topology {
    let counts = KeyValueDef::<str, i64>::new("counts", Utf8, I64Be);
    let total = KeyValueDef::<str, i64>::new("total", Utf8, I64Be);
    let stores = [
        counts.def(),
        total.def(),
        StoreDef::punctuate(PunctuationType::StreamTime, 100),
        StoreDef::punctuate(PunctuationType::WallClockTime, 1000),
    ];
    let builder = builder();
    let counted = builder.stream(&longs("in")).process("p", &stores, move |stores| {
        Box::new(Counts { counts: stores.key_value(&counts), total: stores.key_value(&total) })
    });
    counted.with_key_serde(Utf8).to(&strings("out"));
    builder.build().unwrap()
}
