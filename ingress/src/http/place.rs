//! Where in a document a walk stands: steps linked to the ones above them.
//!
//! Invariant: going down costs nothing but the step itself. A place becomes text
//! only when an error names it, and then never more than an error may show, so a
//! long name above many values is not copied once per value.

use std::fmt::Write as _;

/// Longest path shown in an error, in bytes.
pub(super) const LONGEST: usize = 200;

/// One step below another place, or the document itself.
#[derive(Debug)]
pub(super) struct Place<'a> {
    above: Option<&'a Place<'a>>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Debug)]
enum Step<'a> {
    Document,
    Member(&'a str),
    Item(usize),
}

impl<'a> Place<'a> {
    /// The document itself.
    pub(super) const DOCUMENT: Self = Self { above: None, step: Step::Document, depth: 0 };

    /// A member of the object here.
    pub(super) fn member(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: Step::Member(name), depth: self.depth + 1 }
    }

    /// An item of the array here.
    pub(super) fn item(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Item(index), depth: self.depth + 1 }
    }

    /// Steps from the document.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The path, such as `items[2].price`; its end is left out where it would be
    /// longer than errors show.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text.truncate(text.floor_char_boundary(LONGEST));
        #[cfg(test)]
        tests::BUILT.with(|built| built.set(built.get() + text.len()));
        text
    }

    fn write(&self, text: &mut String) {
        if let Some(above) = self.above {
            above.write(text);
        }
        if text.len() >= LONGEST {
            return;
        }
        match self.step {
            Step::Document => {}
            Step::Member(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&name[..name.floor_char_boundary(LONGEST)]);
            }
            // Writing to a string can't fail.
            Step::Item(index) => drop(write!(text, "[{index}]")),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes of paths that became text in this thread.
        pub(in super::super) static BUILT: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn paths_read_as_in_programs_and_are_bounded() {
        let document = Place::DOCUMENT;
        let items = document.member("items");
        let second = items.item(2);
        assert_eq!(second.member("price").text(), "items[2].price");
        assert_eq!((document.text().as_str(), second.depth()), ("", 2));
        let long = "ä".repeat(1_000);
        let deep = document.member(&long);
        assert_eq!(deep.item(7).text(), "ä".repeat(LONGEST / 2));
    }
}
