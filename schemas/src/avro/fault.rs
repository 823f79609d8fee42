//! Where and why reading or writing one value stopped.

use std::fmt;

/// Collects the path of the field while the error travels outwards: the
/// usual path pays nothing for it.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// Innermost step first: `.currency`, `[3]`.
    steps: Vec<String>,
    /// Bytes left when it stopped, where known.
    left: Option<usize>,
    cause: String,
}

impl Fault {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self(Box::new(Inner { steps: Vec::new(), left: None, cause: cause.into() }))
    }

    /// Adds the step that leads to what failed.
    pub(super) fn at_field(mut self, name: &str) -> Self {
        self.0.steps.push(format!(".{name}"));
        self
    }

    pub(super) fn at_item(mut self, item: impl fmt::Debug) -> Self {
        self.0.steps.push(format!("[{item:?}]"));
        self
    }

    /// How many bytes were left where the innermost value begins.
    pub(super) fn with_left(mut self, left: usize) -> Self {
        self.0.left.get_or_insert(left);
        self
    }

    pub(super) fn left(&self) -> Option<usize> {
        self.0.left
    }

    pub(super) fn cause(&self) -> &str {
        &self.0.cause
    }

    /// `OrderEvent.items[3].quantity`.
    pub(super) fn path(&self, root: &str) -> String {
        self.0.steps.iter().rev().fold(root.to_owned(), |path, step| path + step)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.cause)
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<T: fmt::Display>(cause: T) -> Self {
        Self::new(cause.to_string())
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(cause: T) -> Self {
        Self::new(cause.to_string())
    }
}
