//! How a stream is repartitioned.

use std::sync::Arc;

/// The name of a repartition topic, and how many partitions it has.
///
/// Where the default does, a string is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repartitioned {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Option<u32>,
}

impl Repartitioned {
    /// The topic `<application.id>-<name>-repartition`, with as many partitions as the topics it is read beside, or
    /// else those its records come from.
    pub fn as_(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), partitions: None }
    }

    /// The topic has this many partitions (> 0). Repartition topics read beside it get as many, too; topics of others
    /// read beside it must have as many already.
    ///
    /// # Panics
    /// When there is to be no partition.
    pub fn with_number_of_partitions(self, partitions: u32) -> Self {
        assert!(partitions > 0, "a topic has at least one partition");
        Self { partitions: Some(partitions), ..self }
    }
}

impl From<&str> for Repartitioned {
    fn from(name: &str) -> Self {
        Self::as_(name)
    }
}

impl From<&String> for Repartitioned {
    fn from(name: &String) -> Self {
        Self::as_(name.as_str())
    }
}

impl From<String> for Repartitioned {
    fn from(name: String) -> Self {
        Self::as_(name)
    }
}
