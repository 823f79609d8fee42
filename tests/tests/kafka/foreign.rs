//! An outside producer that isn't librdkafka: one record in one produce request,
//! with headers that our own clients can't write.

use std::io::{Read, Write};
use std::net::TcpStream;

/// A header as Kafka has it: any bytes, and perhaps no value.
pub(crate) type RawHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// Writes a record to partition 0, at the broker that leads it.
pub(crate) fn produce(
    broker: &str,
    topic: &str,
    key: &[u8],
    value: &[u8],
    headers: &[RawHeader<'_>],
) {
    let batch = batch(&record(key, value, headers));
    let mut request = Vec::new();
    // Header: Produce, version 3, correlation id, client id.
    request.extend([0, 0, 0, 3, 0, 0, 0, 1]);
    text(&mut request, "foreign");
    // No transaction, acks=all, 10 s, one topic, one partition.
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    text(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    bytes(&mut request, &batch);

    let answer = ask(broker, &request).expect("the broker answers");
    // Correlation id, topics, name, partitions, partition; then the error.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer.get(at..at + 2), Some(&[0, 0][..]), "no error in {answer:?}");
}

fn ask(broker: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut framed = Vec::new();
    bytes(&mut framed, request);
    let mut stream = TcpStream::connect(broker)?;
    stream.write_all(&framed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn record(key: &[u8], value: &[u8], headers: &[RawHeader<'_>]) -> Vec<u8> {
    // Attributes, timestamp delta, offset delta.
    let mut body = vec![0, 0, 0];
    varint_bytes(&mut body, Some(key));
    varint_bytes(&mut body, Some(value));
    varint(&mut body, headers.len() as i64);
    for (name, value) in headers {
        varint_bytes(&mut body, Some(name));
        varint_bytes(&mut body, *value);
    }
    let mut record = Vec::new();
    varint(&mut record, body.len() as i64);
    record.extend(body);
    record
}

/// A record batch of format 2 with one record.
fn batch(record: &[u8]) -> Vec<u8> {
    // Attributes, last offset delta, two timestamps, producer id, epoch and
    // sequence (none), count.
    let mut checked = vec![0; 6];
    let now = 1_700_000_000_000_i64.to_be_bytes();
    checked.extend(now);
    checked.extend(now);
    checked.extend([0xff; 14]);
    checked.extend(1_i32.to_be_bytes());
    checked.extend(record);

    let mut batch = vec![0; 8];
    // Leader epoch, magic and checksum come before what is checked.
    bytes(
        &mut batch,
        &[&[0xff, 0xff, 0xff, 0xff, 2], &crc32c(&checked).to_be_bytes()[..], &checked].concat(),
    );
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

/// Zigzag, seven bits a byte.
fn varint(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn varint_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}
