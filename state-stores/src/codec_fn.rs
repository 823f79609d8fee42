//! `codec_fn`: a codec made of two functions, for a type of one's own.

use std::error::Error;
use std::sync::Arc;

use crate::codec::{Codec, CodecError, Decoder, Encoder, Serde};

type Encode<T> = dyn Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync;
type Decode<T> = dyn Fn(&[u8]) -> Result<T, BoxError> + Send + Sync;
type BoxError = Box<dyn Error + Send + Sync>;

struct Functions<T> {
    format: String,
    encode: Box<Encode<T>>,
    decode: Box<Decode<T>>,
}

impl<T> Functions<T> {
    fn error(&self, error: BoxError) -> CodecError {
        CodecError::new(self.format.as_str(), error.to_string())
    }
}

struct FnCodec<T>(Arc<Functions<T>>);

struct FnDecoder<T> {
    functions: Arc<Functions<T>>,
    /// The value decoded last.
    scratch: Option<T>,
}

impl<T: Send + 'static> Codec<T> for FnCodec<T> {
    fn decoder(&self) -> Box<dyn Decoder<T>> {
        Box::new(FnDecoder { functions: Arc::clone(&self.0), scratch: None })
    }

    fn encoder(&self) -> Box<dyn Encoder<T>> {
        Box::new(Self(Arc::clone(&self.0)))
    }

    fn format(&self) -> &str {
        &self.0.format
    }
}

impl<T: Send> Decoder<T> for FnDecoder<T> {
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a T, CodecError> {
        let decoded = (self.functions.decode)(bytes);
        let value = decoded.map_err(|error| self.functions.error(error))?;
        Ok(self.scratch.insert(value))
    }
}

impl<T> Encoder<T> for FnCodec<T> {
    fn encode(&mut self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        (self.0.encode)(value, out).map_err(|error| self.0.error(error))
    }
}

/// A codec of a function that appends the bytes of a value and one that makes a value of all its bytes.
///
/// `format` is the codec's [`format`](Codec::format): give it another one (a version at its end) when old bytes can't
/// be read any more. An error of a function becomes the detail of a [`CodecError`]; it must not quote the data. Every
/// value that is decoded is made anew: a codec that borrows from the bytes, or reuses memory, implements [`Codec`].
///
/// ```
/// use state_stores::{Serde, codec_fn};
///
/// /// Degrees, written as text.
/// struct Celsius(f64);
///
/// let celsius: Serde<Celsius> = codec_fn(
///     "celsius-v1",
///     |Celsius(degrees), out| {
///         out.extend_from_slice(degrees.to_string().as_bytes());
///         Ok(())
///     },
///     |bytes| Ok(Celsius(std::str::from_utf8(bytes)?.parse()?)),
/// );
/// assert_eq!(celsius.decoder().decode(b"21.5")?.0, 21.5);
/// let error = celsius.decoder().decode(b"warm").map(|_| ()).unwrap_err();
/// assert_eq!(error.to_string(), "celsius-v1: invalid float literal");
/// # Ok::<(), state_stores::CodecError>(())
/// ```
pub fn codec_fn<T: Send + 'static>(
    format: impl Into<String>,
    encode: impl Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync + 'static,
    decode: impl Fn(&[u8]) -> Result<T, BoxError> + Send + Sync + 'static,
) -> Serde<T> {
    let (encode, decode) = (Box::new(encode), Box::new(decode));
    Arc::new(FnCodec(Arc::new(Functions { format: format.into(), encode, decode })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent() -> Serde<u8> {
        let check = |n: u8| if n > 100 { Err("above 100") } else { Ok(n) };
        codec_fn(
            "percent",
            move |n, out| {
                out.push(check(*n)?);
                Ok(())
            },
            move |bytes| Ok(check(*bytes.first().ok_or("no byte")?)?),
        )
    }

    #[test]
    fn both_directions_append_convert_and_refuse_by_the_formats_name() {
        let (codec, mut out) = (percent(), b"before".to_vec());
        codec.encoder().encode(&42, &mut out).unwrap();
        assert_eq!(out, b"before*");
        let mut decoder = codec.decoder();
        assert_eq!(decoder.decode(b"*").unwrap(), &42);
        assert_eq!(decoder.decode(b"").unwrap_err().to_string(), "percent: no byte");
        assert_eq!(codec.encoder().encode(&101, &mut out).unwrap_err().detail, "above 100");
        assert_eq!(codec.format(), "percent");
    }
}
