//! A schema made ready for reading and writing: names resolved, nothing
//! looked up per record.
//!
//! Covers what our own schemas use. `apache-avro` parses, compares and
//! resolves schemas; its serde layer takes twice as long per
//! event because it looks up each field and each named type (`benches/`).

use std::collections::HashMap;
use std::sync::atomic::AtomicPtr;

use apache_avro::Schema;
use apache_avro::schema::{RecordSchema, UnionSchema, UuidSchema};

/// Index into [`Plan::nodes`].
pub(super) type NodeId = usize;

/// Every plan's first node: what keys of maps are.
pub(super) const TEXT: NodeId = 0;

/// One type of the schema.
pub(super) enum Node {
    Boolean,
    Int,
    Long,
    Text,
    Enum(Box<[Box<str>]>),
    /// Union of null and one type; `null` is the index of null.
    Option {
        null: i64,
        some: NodeId,
    },
    Array(NodeId),
    Map(NodeId),
    Record(Record),
}

/// A record's fields, in the schema's order.
pub(super) struct Record {
    pub(super) fields: Box<[Field]>,
    /// The field list of the Rust type last found to be the same as `fields`.
    pub(super) same_as: AtomicPtr<&'static str>,
}

pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
}

/// All types of one schema.
pub(super) struct Plan {
    nodes: Vec<Node>,
    root: NodeId,
    name: String,
}

impl Plan {
    /// # Errors
    /// The schema uses a type none of our messages has.
    pub(super) fn of(schema: &Schema) -> Result<Self, String> {
        let name = schema.name().map_or("value".to_owned(), |name| name.name().to_string());
        let mut plan = Self { nodes: vec![Node::Text], root: TEXT, name };
        plan.root = plan.add(schema, &mut HashMap::new())?;
        Ok(plan)
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// What paths of fields begin with.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn add(
        &mut self,
        schema: &Schema,
        names: &mut HashMap<String, NodeId>,
    ) -> Result<NodeId, String> {
        let node = match schema {
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long | Schema::TimestampMicros | Schema::TimestampMillis => Node::Long,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::Text,
            Schema::Enum(symbols) => {
                Node::Enum(symbols.symbols.iter().map(|symbol| symbol.as_str().into()).collect())
            }
            Schema::Array(array) => Node::Array(self.add(&array.items, names)?),
            Schema::Map(map) => Node::Map(self.add(&map.types, names)?),
            Schema::Union(union) => self.option(union, names)?,
            Schema::Record(record) => Node::Record(self.record(record, names)?),
            Schema::Ref { name } => {
                let known = names.get(&name.to_string()).copied();
                return known.ok_or_else(|| format!("{name} is recursive or not defined"));
            }
            other => return Err(format!("type {} is not supported", other.canonical_form())),
        };
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        if let Some(name) = schema.name() {
            names.insert(name.to_string(), id);
        }
        Ok(id)
    }

    fn option(
        &mut self,
        union: &UnionSchema,
        names: &mut HashMap<String, NodeId>,
    ) -> Result<Node, String> {
        match union.variants() {
            [Schema::Null, some] => Ok(Node::Option { null: 0, some: self.add(some, names)? }),
            [some, Schema::Null] => Ok(Node::Option { null: 1, some: self.add(some, names)? }),
            _ => Err("only unions of null and one type are supported".to_owned()),
        }
    }

    fn record(
        &mut self,
        record: &RecordSchema,
        names: &mut HashMap<String, NodeId>,
    ) -> Result<Record, String> {
        let fields = record.fields.iter().map(|field| {
            let node =
                self.add(&field.schema, names).map_err(|e| format!("{}: {e}", field.name))?;
            Ok(Field { name: field.name.as_str().into(), node })
        });
        Ok(Record { fields: fields.collect::<Result<_, String>>()?, same_as: AtomicPtr::default() })
    }
}

impl Node {
    /// For errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Text => "string",
            Self::Enum(_) => "enum",
            Self::Option { .. } => "union with null",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Record(_) => "record",
        }
    }
}
