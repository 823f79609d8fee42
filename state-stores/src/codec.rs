//! How keys and values become bytes: the traits, and the codecs every topology needs.
//!
//! A codec is a factory; each task makes its own encoder and decoder, so that they can keep scratch memory without
//! locks. Text, bytes and integers borrow from the input; a struct's decoder decodes into its own scratch.

use std::sync::Arc;

pub use crate::codec_fn::codec_fn;

/// Bytes that are not a `T`, or a `T` that can't be bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format}: {detail}")]
pub struct CodecError {
    /// The codec's [`format`](Codec::format).
    pub format: String,
    /// What is wrong; never the data itself.
    pub detail: String,
}

impl CodecError {
    /// An error of the codec named `format`. `detail` must not quote the data: it may be personal.
    pub fn new(format: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { format: format.into(), detail: detail.into() }
    }
}

/// Bytes to a `T` that lives as long as the bytes and the decoder are left alone.
pub trait Decoder<T: ?Sized>: Send {
    /// Decodes all of `bytes`.
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a T, CodecError>;
}

/// A `T` to bytes.
pub trait Encoder<T: ?Sized>: Send {
    /// Appends the bytes of `value` to `out`.
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// A format for values of `T`.
pub trait Codec<T: ?Sized>: Send + Sync + 'static {
    /// A decoder with scratch of its own.
    fn decoder(&self) -> Box<dyn Decoder<T>>;
    /// An encoder with scratch of its own.
    fn encoder(&self) -> Box<dyn Encoder<T>>;
    /// The format's name, kept in the manifest: another name means that old rows can't be read.
    fn format(&self) -> &str;
    /// How many bytes at the end of a key don't count when its partition is chosen: those of a window, so that it
    /// goes where its key goes.
    fn unpartitioned_bytes(&self) -> usize {
        0
    }
}

/// A shared codec.
pub type Serde<T> = Arc<dyn Codec<T>>;

/// UTF-8 text, as Kafka's `StringSerializer`; for `str` (borrows) and `String` (copies into scratch).
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8;

/// Bytes as they are; for `[u8]` (borrows) and `Vec<u8>` (copies into scratch).
#[derive(Debug, Clone, Copy, Default)]
pub struct RawBytes;

/// Nothing: zero bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unit;

/// The decoder or encoder of a built-in codec, with one value of scratch.
struct Builtin<S>(S);

fn text(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|error| {
        CodecError::new("utf8", format!("invalid UTF-8 at byte {}", error.valid_up_to()))
    })
}

impl Decoder<str> for Builtin<()> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a str, CodecError> {
        text(bytes)
    }
}

impl Encoder<str> for Builtin<()> {
    fn encode(&mut self, value: &str, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

impl Decoder<String> for Builtin<String> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a String, CodecError> {
        self.0.clear();
        self.0.push_str(text(bytes)?);
        Ok(&self.0)
    }
}

impl Encoder<String> for Builtin<()> {
    fn encode(&mut self, value: &String, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

impl Decoder<[u8]> for Builtin<()> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a [u8], CodecError> {
        Ok(bytes)
    }
}

impl Encoder<[u8]> for Builtin<()> {
    fn encode(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value);
        Ok(())
    }
}

impl Decoder<Vec<u8>> for Builtin<Vec<u8>> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a Vec<u8>, CodecError> {
        self.0.clear();
        self.0.extend_from_slice(bytes);
        Ok(&self.0)
    }
}

impl Encoder<Vec<u8>> for Builtin<()> {
    fn encode(&mut self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value);
        Ok(())
    }
}

impl Decoder<()> for Builtin<()> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a (), CodecError> {
        if bytes.is_empty() {
            Ok(&self.0)
        } else {
            Err(CodecError::new("unit", format!("{} bytes instead of none", bytes.len())))
        }
    }
}

impl Encoder<()> for Builtin<()> {
    fn encode(&mut self, (): &(), _out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
}

macro_rules! codec {
    ($codec:ident, $type:ty, $scratch:expr, $format:literal) => {
        impl Codec<$type> for $codec {
            fn decoder(&self) -> Box<dyn Decoder<$type>> {
                Box::new(Builtin($scratch))
            }
            fn encoder(&self) -> Box<dyn Encoder<$type>> {
                Box::new(Builtin(()))
            }
            fn format(&self) -> &str {
                $format
            }
        }
    };
}

codec!(Utf8, str, (), "utf8");
codec!(Utf8, String, String::new(), "utf8");
codec!(RawBytes, [u8], (), "bytes");
codec!(RawBytes, Vec<u8>, Vec::new(), "bytes");
codec!(Unit, (), (), "unit");

macro_rules! integer {
    ($codec:ident, $type:ty, $format:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $codec;

        impl Decoder<$type> for Builtin<$type> {
            fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a $type, CodecError> {
                let width = size_of::<$type>();
                let bytes = bytes.try_into().map_err(|_| {
                    CodecError::new($format, format!("{} bytes instead of {width}", bytes.len()))
                })?;
                self.0 = <$type>::from_be_bytes(bytes);
                Ok(&self.0)
            }
        }

        impl Encoder<$type> for Builtin<()> {
            fn encode(&mut self, value: &$type, out: &mut Vec<u8>) -> Result<(), CodecError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }
        }

        codec!($codec, $type, 0, $format);
    };
}

integer!(
    I64Be,
    i64,
    "i64-be",
    "Eight bytes, as Kafka's `LongSerializer`. Negative keys order after positive ones."
);
integer!(
    I32Be,
    i32,
    "i32-be",
    "Four bytes, as Kafka's `IntegerSerializer`. Negative keys order after positive ones."
);
integer!(U64Be, u64, "u64-be", "Eight bytes; keys order by value.");
integer!(U32Be, u32, "u32-be", "Four bytes; keys order by value.");

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: ?Sized + PartialEq + std::fmt::Debug + 'static>(
        codec: &dyn Codec<T>,
        value: &T,
        bytes: &[u8],
    ) {
        let mut out = Vec::new();
        codec.encoder().encode(value, &mut out).unwrap();
        assert_eq!(out, bytes);
        assert_eq!(codec.decoder().decode(&out).unwrap(), value);
    }

    #[test]
    fn values_come_back() {
        round_trip::<str>(&Utf8, "zürich", "zürich".as_bytes());
        round_trip::<String>(&Utf8, &"a".to_owned(), b"a");
        round_trip::<[u8]>(&RawBytes, &[0, 255], &[0, 255]);
        round_trip::<Vec<u8>>(&RawBytes, &vec![0, 255], &[0, 255]);
        round_trip::<i64>(&I64Be, &-2, &[255, 255, 255, 255, 255, 255, 255, 254]);
        round_trip::<i32>(&I32Be, &258, &[0, 0, 1, 2]);
        round_trip::<u64>(&U64Be, &1, &[0, 0, 0, 0, 0, 0, 0, 1]);
        round_trip::<u32>(&U32Be, &7, &[0, 0, 0, 7]);
        round_trip::<()>(&Unit, &(), &[]);
    }

    #[test]
    fn errors_name_the_format_and_not_the_data() {
        let mut decoder: Box<dyn Decoder<str>> = Utf8.decoder();
        let error = decoder.decode(b"secret\xff").unwrap_err();
        assert_eq!(error.to_string(), "utf8: invalid UTF-8 at byte 6");
        assert_eq!(
            I64Be.decoder().decode(b"123").unwrap_err().to_string(),
            "i64-be: 3 bytes instead of 8"
        );
        assert!(Unit.decoder().decode(b"1").is_err());
    }
}
