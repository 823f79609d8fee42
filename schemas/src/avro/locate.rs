//! Names the field at which decoding failed.
//!
//! Runs only after a failure: walks the bytes along the writer's schema and
//! stops at the first thing that is wrong, or at the byte where the decoder
//! gave up because a value made no sense to its type (an unknown currency, a
//! text that is no UUID).

use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef, ResolvedSchema, UuidSchema};
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema};

use super::MAX_ALLOCATION;

/// The place of a failure.
pub(super) struct Found {
    /// E.g. `OrderEvent.items[3].quantity`.
    pub(super) path: String,
    /// Offset in the Avro body at which the field begins.
    pub(super) offset: usize,
    /// What is wrong with the bytes; none where they follow the schema.
    pub(super) cause: Option<String>,
}

/// Finds the field at which decoding `body` failed after `consumed` bytes.
pub(super) fn field_at(schema: &Schema, body: &[u8], consumed: usize) -> Found {
    let Ok(resolved) = ResolvedSchema::try_from(schema) else {
        return Found { path: String::new(), offset: consumed, cause: None };
    };
    let names = resolved.get_names();
    let path = schema.name().map_or_else(String::new, |name| name.name().to_string());
    let mut walk = Walk { body, at: 0, begin: 0, consumed, path, names, depth: 0 };
    let stop = walk.value(schema).err();
    let cause = stop.and_then(|stop| match stop {
        Stop::Wrong(cause) => Some(cause),
        Stop::Reached => None,
    });
    Found { path: walk.path, offset: walk.begin, cause }
}

/// Why the walk ended.
enum Stop {
    Wrong(String),
    Reached,
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    /// Where the current leaf begins.
    begin: usize,
    consumed: usize,
    path: String,
    names: &'a NamesRef<'a>,
    depth: usize,
}

fn wrong<T>(cause: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(cause.into()))
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &Schema) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > 64 {
            return wrong("nested more than 64 deep");
        }
        self.begin = self.at;
        self.shape(schema)?;
        self.depth -= 1;
        Ok(())
    }

    fn shape(&mut self, schema: &Schema) -> Result<(), Stop> {
        match schema {
            Schema::Ref { name } => {
                let schema = self.named(name)?;
                self.shape(schema)
            }
            Schema::Record(record) => {
                for field in &record.fields {
                    self.inside(&format!(".{}", field.name), &field.schema)?;
                }
                Ok(())
            }
            Schema::Array(array) => self.blocks(|walk, index| {
                walk.inside(&format!("[{index}]"), &array.items)
            }),
            Schema::Map(map) => self.blocks(|walk, _| {
                let key = walk.text()?;
                walk.inside(&format!("[{key:?}]"), &map.types)
            }),
            Schema::Union(union) => {
                let index = self.long()?;
                let variant = usize::try_from(index).ok().and_then(|i| union.variants().get(i));
                match variant {
                    Some(variant) => self.shape(variant),
                    None => wrong(format!("{index} is not an alternative of the union")),
                }
            }
            leaf => {
                self.leaf(leaf)?;
                if self.at >= self.consumed { Err(Stop::Reached) } else { Ok(()) }
            }
        }
    }

    /// A part of the current value; its name stays in the path on a stop.
    fn inside(&mut self, step: &str, schema: &Schema) -> Result<(), Stop> {
        let before = self.path.len();
        self.path.push_str(step);
        self.value(schema)?;
        self.path.truncate(before);
        Ok(())
    }

    fn leaf(&mut self, schema: &Schema) -> Result<(), Stop> {
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => match self.take(1)?[0] {
                0 | 1 => Ok(()),
                other => wrong(format!("{other} is not a boolean")),
            },
            Schema::Float => self.take(4).map(drop),
            Schema::Double => self.take(8).map(drop),
            Schema::String | Schema::Uuid(UuidSchema::String) => self.text().map(drop),
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
                self.take(fixed.size).map(drop)
            }
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes)
            | Schema::Decimal(_) => self.bytes().map(drop),
            Schema::Enum(symbols) => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|i| symbols.symbols.get(i)) {
                    Some(_) => Ok(()),
                    None => wrong(format!("{index} is not a symbol of {}", symbols.name.name())),
                }
            }
            _ => self.long().map(drop),
        }
    }

    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut index = 0;
        loop {
            let count = self.long()?;
            if count < 0 {
                self.long()?;
            }
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count.unsigned_abs() {
                item(self, index)?;
                index += 1;
            }
        }
    }

    fn named(&self, name: &Name) -> Result<&'a Schema, Stop> {
        let names = self.names;
        names.get(name).copied().map_or_else(|| wrong(format!("no type {name}")), Ok)
    }

    fn text(&mut self) -> Result<String, Stop> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).or_else(|_| wrong("text is not UTF-8"))
    }

    fn bytes(&mut self) -> Result<&[u8], Stop> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) if length <= MAX_ALLOCATION => self.take(length),
            _ => wrong(format!("a length of {length} bytes")),
        }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Stop> {
        let left = self.body.len() - self.at;
        if length > left {
            return wrong(format!("{length} bytes needed, {left} left: the value is cut off"));
        }
        self.at += length;
        Ok(&self.body[self.at - length..self.at])
    }

    /// Zigzag varint of at most ten bytes.
    fn long(&mut self) -> Result<i64, Stop> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        wrong("a number of more than ten bytes")
    }
}
