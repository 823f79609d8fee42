//! What goes over the two topics of a foreign-key join, and the hash that tells stale answers.
//!
//! ```text
//! subscription  instruction (1) | hash (16) | left key       keyed by the foreign key
//! response      hash (16) | 00, 01 and the right value, or 02    keyed by the left key
//! ```
//!
//! 00 says that there is no right row, 02 that there is none and that this is
//! news only to who has joined one.
//!
//! The hash of a left row that isn't there is all zeros; no row's is, even if it is written as no bytes.

use state_stores::{CodecError, Encoder};

pub(super) const HASH: usize = 16;

/// Murmur3 of a left row's bytes.
pub(super) type Hash = [u8; HASH];

/// What the left side wants of the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Forget the subscription.
    Delete = 0,
    /// Forget it, and answer that there is no row.
    DeleteAndAnswer = 1,
    /// Keep it, and answer; without a row only to take back what may have been joined before.
    AnswerIfFound = 2,
    /// Keep it, and answer in any case.
    Answer = 3,
}

pub(super) struct Subscription<'a> {
    pub(super) instruction: Instruction,
    pub(super) hash: Hash,
    pub(super) left_key: &'a [u8],
}

impl<'a> Subscription<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, CodecError> {
        let damaged = || CodecError::new("subscription", "damaged");
        let (instruction, rest) = message.split_first().ok_or_else(damaged)?;
        let instruction = match instruction {
            0 => Instruction::Delete,
            1 => Instruction::DeleteAndAnswer,
            2 => Instruction::AnswerIfFound,
            3 => Instruction::Answer,
            _ => return Err(damaged()),
        };
        let (hash, left_key) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self { instruction, hash: *hash, left_key })
    }

    /// Becomes the whole of `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(self.instruction as u8);
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(self.left_key);
    }
}

/// What the right side has for a left row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Row(T),
    None,
    /// As `None`; not to be told to who has joined nothing.
    Quiet,
}

/// Hash of the left row that was asked for, and the answer.
pub(super) fn read_response(message: &[u8]) -> Result<(Hash, Answer<&[u8]>), CodecError> {
    let damaged = || CodecError::new("response", "damaged");
    let (hash, rest) = message.split_first_chunk().ok_or_else(damaged)?;
    match rest.split_first() {
        Some((0, [])) => Ok((*hash, Answer::None)),
        Some((1, value)) => Ok((*hash, Answer::Row(value))),
        Some((2, [])) => Ok((*hash, Answer::Quiet)),
        _ => Err(damaged()),
    }
}

/// Becomes the whole of `out`.
pub(super) fn write_response<R: ?Sized>(
    hash: Hash,
    answer: Answer<&R>,
    encoder: &mut dyn Encoder<R>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    out.clear();
    out.extend_from_slice(&hash);
    match answer {
        Answer::None => out.push(0),
        Answer::Quiet => out.push(2),
        Answer::Row(row) => {
            out.push(1);
            encoder.encode(row, out)?;
        }
    }
    Ok(())
}

/// The hash of a left row, encoded in `scratch`.
pub(super) fn hash_of<V: ?Sized>(
    row: Option<&V>,
    encoder: &mut dyn Encoder<V>,
    scratch: &mut Vec<u8>,
) -> Result<Hash, CodecError> {
    let Some(row) = row else { return Ok([0; HASH]) };
    scratch.clear();
    encoder.encode(row, scratch)?;
    Ok(murmur3(scratch, SEED))
}

/// Kafka Streams' own. With 0 no bytes would give all zeros.
const SEED: u64 = 104_729;

/// 128-bit Murmur3 (x64).
fn murmur3(data: &[u8], seed: u64) -> Hash {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let finish = |mut h: u64| {
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    };
    let halves = |block: &[u8; HASH]| {
        let both = u128::from_le_bytes(*block);
        (both as u64, (both >> 64) as u64)
    };
    let (blocks, tail) = data.as_chunks::<HASH>();
    let (mut h1, mut h2) = (seed, seed);
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 = (h1 ^ mix1(k1)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(k2)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; HASH];
    last[..tail.len()].copy_from_slice(tail);
    let (k1, k2) = halves(&last);
    h1 ^= mix1(k1) ^ data.len() as u64;
    h2 ^= mix2(k2) ^ data.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (u128::from(h1) << 64 | u128::from(h2)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use state_stores::{Codec, Utf8};

    use super::*;

    #[test]
    fn hashes_are_murmur3() {
        let hash = |text: &str| u128::from_be_bytes(murmur3(text.as_bytes(), 0));
        assert_eq!(hash(""), 0);
        assert_ne!(murmur3(b"", SEED), [0; HASH]);
        assert_eq!(hash("hello"), 0xcbd8_a7b3_41bd_9b02_5b1e_906a_48ae_1d19);
        let fox = "The quick brown fox jumps over the lazy dog";
        assert_eq!(hash(fox), 0xe34b_bc7b_bc07_1b6c_7a43_3ca9_c49a_9347);
    }

    #[test]
    fn messages_come_back_and_damage_is_noticed() {
        let mut out = Vec::new();
        let hash = murmur3(b"row", SEED);
        Subscription { instruction: Instruction::Answer, hash, left_key: b"k" }.write(&mut out);
        let read = Subscription::read(&out).unwrap();
        assert_eq!(
            (read.instruction, read.hash, read.left_key),
            (Instruction::Answer, hash, &b"k"[..])
        );
        assert!(Subscription::read(&out[..10]).is_err());
        assert!(Subscription::read(&[&[9], &out[1..]].concat()).is_err());
        let mut encoder = Codec::<str>::encoder(&Utf8);
        for answer in [Answer::None, Answer::Quiet, Answer::Row(""), Answer::Row("right")] {
            write_response(hash, answer, &mut *encoder, &mut out).unwrap();
            let (read, row) = read_response(&out).unwrap();
            assert_eq!(read, hash);
            match (row, answer) {
                (Answer::Row(row), Answer::Row(wrote)) => assert_eq!(row, wrote.as_bytes()),
                (row, answer) => assert_eq!(format!("{row:?}"), format!("{answer:?}")),
            }
        }
        assert!(read_response(&out[..HASH]).is_err());
    }
}
