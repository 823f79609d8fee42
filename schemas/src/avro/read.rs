//! Avro binary → struct, along the [`Plan`] of the schema it was written with.
//!
//! Text is lent to the type from the input, so ids and codes are parsed
//! without a copy. Where the type's fields are the schema's, in order, they
//! are read by position; otherwise by name, and fields the type does not have
//! are passed over.

use std::sync::atomic::Ordering;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::fault::Fault;
use super::plan::{Field, Node, NodeId, Plan, Record, TEXT};

/// Reads one value from the front of `input`.
pub(super) fn read<'de, T: Deserialize<'de>>(
    plan: &Plan,
    input: &mut &'de [u8],
) -> Result<T, Fault> {
    T::deserialize(Reader { plan, node: plan.root(), input })
}

struct Reader<'a, 'de> {
    plan: &'a Plan,
    node: NodeId,
    input: &'a mut &'de [u8],
}

fn take<'de>(input: &mut &'de [u8], length: usize) -> Result<&'de [u8], Fault> {
    match input.split_at_checked(length) {
        Some((taken, rest)) => {
            *input = rest;
            Ok(taken)
        }
        None => Err(cut_off(length, input.len())),
    }
}

#[cold]
fn cut_off(needed: usize, left: usize) -> Fault {
    Fault::new(format!("{needed} bytes needed, {left} left: the value is cut off"))
}

/// Zigzag and base-128, at most ten bytes.
fn long(input: &mut &[u8]) -> Result<i64, Fault> {
    let mut value = 0_u64;
    for (index, &byte) in input.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    if input.len() < 10 {
        return Err(cut_off(input.len() + 1, input.len()));
    }
    Err(Fault::new("a number of more than ten bytes"))
}

fn text<'de>(input: &mut &'de [u8]) -> Result<&'de str, Fault> {
    let length = long(input)?;
    let Ok(length) = usize::try_from(length) else {
        return Err(Fault::new(format!("a length of {length} bytes")));
    };
    std::str::from_utf8(take(input, length)?).map_err(|_| Fault::new("text is not UTF-8"))
}

/// Items of the next block of an array or map; 0 ends it.
fn block(input: &mut &[u8]) -> Result<usize, Fault> {
    let count = long(input)?;
    if count < 0 {
        // A negative count is followed by the block's length in bytes.
        long(input)?;
    }
    // No item of ours is empty, so there can't be more than bytes.
    match usize::try_from(count.unsigned_abs()) {
        Ok(items) if items <= input.len() => Ok(items),
        _ => Err(Fault::new(format!("{count} items in {} bytes", input.len()))),
    }
}

impl<'a, 'de> Reader<'a, 'de> {
    fn node(&self) -> &'a Node {
        self.plan.node(self.node)
    }

    fn mismatch<T>(&self, type_name: &str) -> Result<T, Fault> {
        let kind = self.node().kind();
        Err(Fault::new(format!("the type has {type_name} where the schema has {kind}")))
    }

    fn symbol(self) -> Result<&'a str, Fault> {
        let Node::Enum(symbols) = self.node() else { return self.mismatch("an enum") };
        let index = long(self.input)?;
        let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
        symbol
            .map(|symbol| &**symbol)
            .ok_or_else(|| Fault::new(format!("{index} is not a symbol of the enum")))
    }

    fn boolean(self) -> Result<bool, Fault> {
        match take(self.input, 1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(Fault::new(format!("{} is not a boolean", other[0]))),
        }
    }

    fn option<V: Visitor<'de>>(
        self,
        null: i64,
        some: NodeId,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match long(self.input)? {
            index if index == null => visitor.visit_none(),
            index if index == 1 - null => visitor.visit_some(Reader { node: some, ..self }),
            index => Err(Fault::new(format!("{index} is not an alternative of the union"))),
        }
    }

    fn items<V: Visitor<'de>>(self, item: NodeId, visitor: V) -> Result<V::Value, Fault> {
        let left = block(self.input)?;
        visitor.visit_seq(Items { plan: self.plan, item, left, index: 0, input: self.input })
    }

    fn entries<V: Visitor<'de>>(self, item: NodeId, visitor: V) -> Result<V::Value, Fault> {
        let left = block(self.input)?;
        let entries = Entries { plan: self.plan, item, left, key: "", input: self.input };
        visitor.visit_map(entries)
    }

    fn by_name<V: Visitor<'de>>(self, record: &'a Record, visitor: V) -> Result<V::Value, Fault> {
        let fields = Fields { plan: self.plan, fields: &record.fields, next: 0, input: self.input };
        visitor.visit_map(fields)
    }

    fn by_position<V: Visitor<'de>>(
        self,
        record: &'a Record,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let fields = Fields { plan: self.plan, fields: &record.fields, next: 0, input: self.input };
        visitor.visit_seq(fields)
    }
}

impl Record {
    /// True if the type's fields are the schema's, in order. The list is a
    /// constant of the type: once seen, its address is enough.
    fn is_of(&self, fields: &'static [&'static str]) -> bool {
        let address = fields.as_ptr().cast_mut();
        if self.same_as.load(Ordering::Relaxed) == address && !fields.is_empty() {
            return true;
        }
        let same = self.fields.iter().map(|field| &*field.name).eq(fields.iter().copied());
        if same {
            self.same_as.store(address, Ordering::Relaxed);
        }
        same
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Boolean => visitor.visit_bool(self.boolean()?),
            Node::Int | Node::Long => visitor.visit_i64(long(self.input)?),
            Node::Text => visitor.visit_borrowed_str(text(self.input)?),
            Node::Enum(_) => visitor.visit_str(self.symbol()?),
            Node::Option { null, some } => self.option(*null, *some, visitor),
            Node::Array(item) => self.items(*item, visitor),
            Node::Map(item) => self.entries(*item, visitor),
            Node::Record(record) => self.by_name(record, visitor),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Int => visitor.visit_i64(long(self.input)?),
            _ => self.mismatch("i32"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Int | Node::Long => visitor.visit_i64(long(self.input)?),
            _ => self.mismatch("i64"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Text => visitor.visit_borrowed_str(text(self.input)?),
            _ => self.mismatch("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Option { null, some } => self.option(*null, *some, visitor),
            _ => self.mismatch("an Option"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.node() {
            Node::Record(record) if record.is_of(fields) => self.by_position(record, visitor),
            Node::Record(record) => self.by_name(record, visitor),
            _ => self.mismatch(name),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let symbol: StrDeserializer<'_, Fault> = self.symbol()?.into_deserializer();
        visitor.visit_enum(symbol)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// Items of an array.
struct Items<'a, 'de> {
    plan: &'a Plan,
    item: NodeId,
    left: usize,
    index: usize,
    input: &'a mut &'de [u8],
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        let begin = self.input.len();
        let reader = Reader { plan: self.plan, node: self.item, input: self.input };
        let value =
            seed.deserialize(reader).map_err(|fault| fault.with_left(begin).at_item(self.index))?;
        self.index += 1;
        self.left -= 1;
        if self.left == 0 {
            self.left = block(self.input)?;
        }
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Entries of a map.
struct Entries<'a, 'de> {
    plan: &'a Plan,
    item: NodeId,
    left: usize,
    key: &'de str,
    input: &'a mut &'de [u8],
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut ahead = *self.input;
        self.key = text(&mut ahead)?;
        let reader = Reader { plan: self.plan, node: TEXT, input: self.input };
        seed.deserialize(reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let begin = self.input.len();
        let reader = Reader { plan: self.plan, node: self.item, input: self.input };
        let value =
            seed.deserialize(reader).map_err(|fault| fault.with_left(begin).at_item(self.key))?;
        self.left -= 1;
        if self.left == 0 {
            self.left = block(self.input)?;
        }
        Ok(value)
    }
}

/// Fields of a record, in the schema's order.
struct Fields<'a, 'de> {
    plan: &'a Plan,
    fields: &'a [Field],
    next: usize,
    input: &'a mut &'de [u8],
}

impl<'de> Fields<'_, 'de> {
    fn value<T: DeserializeSeed<'de>>(
        &mut self,
        field: &Field,
        seed: T,
    ) -> Result<T::Value, Fault> {
        self.next += 1;
        let begin = self.input.len();
        let reader = Reader { plan: self.plan, node: field.node, input: self.input };
        seed.deserialize(reader).map_err(|fault| fault.with_left(begin).at_field(&field.name))
    }
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let fields = self.fields;
        fields.get(self.next).map(|field| self.value(field, seed)).transpose()
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(field) = self.fields.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = (&*field.name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let fields = self.fields;
        match fields.get(self.next) {
            Some(field) => self.value(field, seed),
            None => Err(Fault::new("a value without its key")),
        }
    }
}
