//! The flows of `ks-bench`, one per mode. Every stream's source ends in a counter.

use std::sync::Arc;

use anyhow::{Result, bail};
use operators::{
    Codec, I64Be, KStream, Materialized, RawBytes, Serde, StreamsBuilder, TimeWindows, Topic,
    Topology, Utf8,
};
use state_stores::{CodecError, Decoder, Encoder};

use crate::options::{Mode, Options};
use crate::orders;
use crate::progress::Progress;

pub(crate) const FIVE_MINUTES: i64 = 300_000;

/// A flow, what it reads and writes, and how many records pass its counters.
pub(crate) struct Plan {
    pub(crate) topology: Topology,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) ticks: u64,
}

/// The flow of a mode.
pub(crate) fn plan(options: &Options, progress: &Progress) -> Result<Plan> {
    let builder = StreamsBuilder::new(options.app_id());
    let source = |builder: &StreamsBuilder| -> KStream<str, [u8]> {
        let progress = progress.clone();
        builder
            .stream(&Topic::new(options.topic("in"), Utf8, RawBytes))
            .peek(move |_| progress.tick())
    };
    let out = options.out_topic("out");
    let mut inputs = vec![options.topic("in")];
    match options.mode {
        Mode::Passthrough => {
            source(&builder).map_values(<[u8]>::to_vec).to(&Topic::new(out.clone(), Utf8, RawBytes))
        }
        Mode::Count | Mode::Restore => count(&source(&builder), &out),
        Mode::Join => {
            let table: Topic<str, [u8]> =
                Topic::new(options.topic("table"), Utf8, timed(Arc::new(RawBytes), progress));
            let table = builder.table("table", &table);
            source(&builder)
                .join("join", &table, |left: &[u8], right: &[u8]| [left, right].concat())
                .to(&Topic::new(out.clone(), Utf8, RawBytes));
            inputs.push(options.topic("table"));
        }
        Mode::Window => window(&source(&builder), &out),
        Mode::Orders => return orders::plan(options, builder, progress),
        Mode::Bare => bail!("the bare client has no topology"),
    }
    let topology = builder.build()?;
    Ok(Plan { topology, inputs, outputs: vec![out], ticks: options.records })
}

fn count(stream: &KStream<str, [u8]>, out: &str) {
    stream
        .group_by_key()
        .count(&Materialized::as_("count", Utf8, I64Be))
        .to_stream()
        .to(&Topic::new(out, Utf8, I64Be));
}

fn window(stream: &KStream<str, [u8]>, out: &str) {
    let grouped = stream.group_by_key().windowed_by(TimeWindows::of_size(FIVE_MINUTES));
    let counted = grouped.count(&Materialized::as_("window", Utf8, I64Be));
    if let Some(key) = counted.key_serde() {
        counted.to_stream().to(&Topic::new(out, key, I64Be));
    }
}

/// A table can't be peeked at: reading its first value starts the clock.
pub(crate) fn timed<T: ?Sized + 'static>(codec: Serde<T>, progress: &Progress) -> Serde<T> {
    Arc::new(Timed { codec, progress: progress.clone() })
}

struct Timed<T: ?Sized> {
    codec: Serde<T>,
    progress: Progress,
}

struct TimedDecoder<T: ?Sized> {
    decoder: Box<dyn Decoder<T>>,
    progress: Progress,
}

impl<T: ?Sized + 'static> Codec<T> for Timed<T> {
    fn decoder(&self) -> Box<dyn Decoder<T>> {
        Box::new(TimedDecoder { decoder: self.codec.decoder(), progress: self.progress.clone() })
    }

    fn encoder(&self) -> Box<dyn Encoder<T>> {
        self.codec.encoder()
    }

    fn format(&self) -> &str {
        self.codec.format()
    }
}

impl<T: ?Sized> Decoder<T> for TimedDecoder<T> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a T, CodecError> {
        self.progress.begin();
        self.decoder.decode(bytes)
    }
}
