//! Struct → Avro binary, along a [`Plan`].
//!
//! Invariant: what is written follows the schema. Every field's name, every
//! enum symbol and every type is compared with the plan's; a difference is an
//! error, never a wrong byte.

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::fault::Fault;
use super::plan::{Field, Node, NodeId, Plan, TEXT};

/// Appends the Avro binary of `value` to `out`.
pub(super) fn write<T: Serialize>(plan: &Plan, value: &T, out: &mut Vec<u8>) -> Result<(), Fault> {
    value.serialize(Writer { plan, node: plan.root(), out })
}

/// Zigzag and base-128, as all Avro numbers.
fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    put_long(count as i64, out);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

struct Writer<'a> {
    plan: &'a Plan,
    node: NodeId,
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    fn node(&self) -> &'a Node {
        self.plan.node(self.node)
    }

    fn mismatch<T>(&self, type_name: &str) -> Result<T, Fault> {
        let kind = self.node().kind();
        Err(Fault::new(format!("the type has {type_name} where the schema has {kind}")))
    }
}

macro_rules! unsupported {
    ($($method:ident($type:ty) = $name:literal;)*) => {
        $(fn $method(self, _: $type) -> Result<(), Fault> {
            self.mismatch($name)
        })*
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<(), Fault>;
    type SerializeTupleStruct = Impossible<(), Fault>;
    type SerializeTupleVariant = Impossible<(), Fault>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), Fault>;

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        match self.node() {
            Node::Boolean => self.out.push(u8::from(value)),
            _ => return self.mismatch("bool"),
        }
        Ok(())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Fault> {
        match self.node() {
            Node::Int | Node::Long => put_long(value.into(), self.out),
            _ => return self.mismatch("i32"),
        }
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Fault> {
        match self.node() {
            Node::Long => put_long(value, self.out),
            _ => return self.mismatch("i64"),
        }
        Ok(())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Fault> {
        match self.node() {
            Node::Long => put_long(value.into(), self.out),
            _ => return self.mismatch("u32"),
        }
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        match self.node() {
            Node::Text => put_text(value, self.out),
            _ => return self.mismatch("text"),
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Fault> {
        match self.node() {
            Node::Option { null, .. } => put_long(*null, self.out),
            _ => return self.mismatch("an Option"),
        }
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Fault> {
        match self.node() {
            Node::Option { null, some } => {
                put_long(1 - null, self.out);
                value.serialize(Writer { node: *some, ..self })
            }
            _ => self.mismatch("an Option"),
        }
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        let Node::Enum(symbols) = self.node() else { return self.mismatch("an enum") };
        let index = index as usize;
        let found = if symbols.get(index).is_some_and(|symbol| **symbol == *variant) {
            Some(index)
        } else {
            symbols.iter().position(|symbol| **symbol == *variant)
        };
        match found {
            Some(index) => put_count(index, self.out),
            None => return Err(Fault::new(format!("{variant:?} is not a symbol of the schema"))),
        }
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a>, Fault> {
        match (self.node(), len) {
            (Node::Array(item), Some(len)) => Ok(Items::begin(self.plan, *item, len, self.out)),
            _ => self.mismatch("a list"),
        }
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Items<'a>, Fault> {
        match (self.node(), len) {
            (Node::Map(item), Some(len)) => Ok(Items::begin(self.plan, *item, len, self.out)),
            _ => self.mismatch("a map"),
        }
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, Fault> {
        match self.node() {
            Node::Record(record) => {
                Ok(Fields { plan: self.plan, fields: &record.fields, next: 0, out: self.out })
            }
            _ => self.mismatch(name),
        }
    }

    unsupported! {
        serialize_i8(i8) = "i8";
        serialize_i16(i16) = "i16";
        serialize_u8(u8) = "u8";
        serialize_u16(u16) = "u16";
        serialize_u64(u64) = "u64";
        serialize_f32(f32) = "f32";
        serialize_f64(f64) = "f64";
        serialize_char(char) = "char";
        serialize_bytes(&[u8]) = "bytes";
        serialize_unit_struct(&'static str) = "a unit struct";
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.mismatch("()")
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Fault> {
        self.mismatch(name)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Fault> {
        self.mismatch("a tuple")
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Fault> {
        self.mismatch(name)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Fault> {
        self.mismatch(name)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Fault> {
        self.mismatch(name)
    }
}

/// Items of an array or map: one block, then the empty block that ends it.
struct Items<'a> {
    plan: &'a Plan,
    item: NodeId,
    left: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> Items<'a> {
    fn begin(plan: &'a Plan, item: NodeId, len: usize, out: &'a mut Vec<u8>) -> Self {
        if len > 0 {
            put_count(len, out);
        }
        Self { plan, item, left: len, out }
    }

    fn value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Fault::new("more items than told"))?;
        value.serialize(Writer { plan: self.plan, node: self.item, out: self.out })
    }

    fn finish(self) -> Result<(), Fault> {
        if self.left > 0 {
            return Err(Fault::new("fewer items than told"));
        }
        put_count(0, self.out);
        Ok(())
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        self.value(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Fault> {
        key.serialize(Writer { plan: self.plan, node: TEXT, out: self.out })
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        self.value(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

/// Fields of a record, in the schema's order.
struct Fields<'a> {
    plan: &'a Plan,
    fields: &'a [Field],
    next: usize,
    out: &'a mut Vec<u8>,
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        match self.fields.get(self.next) {
            Some(field) if *field.name == *name => {
                self.next += 1;
                value
                    .serialize(Writer { plan: self.plan, node: field.node, out: self.out })
                    .map_err(|fault| fault.at_field(name))
            }
            other => {
                let expected = other.map_or("no more fields", |field| &field.name);
                Err(Fault::new(format!("the type has {name:?} where the schema has {expected:?}")))
            }
        }
    }

    fn end(self) -> Result<(), Fault> {
        match self.fields.get(self.next) {
            None => Ok(()),
            Some(field) => Err(Fault::new(format!("the type has no {:?}", field.name))),
        }
    }
}
