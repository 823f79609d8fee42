//! What an order event costs to write and read: every order is encoded and
//! decoded about thirty times on its way.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use schemas::avro::{Decoder, Encoder, Local};
use schemas::{samples, topics};

fn order_event(bench: &mut Criterion) {
    let source = Local::source();
    let encoder = Encoder::for_topic(&topics::ORDER_EVENTS, source.as_ref()).expect("local");
    let decoder = Decoder::for_topic(&topics::ORDER_EVENTS, source).expect("local");
    for lines in [1, 22] {
        let event = samples::order_event(lines);
        let mut bytes = Vec::new();
        encoder.encode(&event, &mut bytes).expect("fits its schema");
        bench.bench_function(&format!("encode {lines} lines ({} bytes)", bytes.len()), |run| {
            let mut out = Vec::with_capacity(8192);
            run.iter(|| {
                out.clear();
                encoder.encode(black_box(&event), &mut out).expect("fits its schema");
            });
        });
        bench.bench_function(&format!("decode {lines} lines"), |run| {
            run.iter(|| decoder.decode(black_box(&bytes)).expect("just encoded"));
        });
    }
}

criterion_group!(benches, order_event);
criterion_main!(benches);
