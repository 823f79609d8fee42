//! Compatibility levels, as Confluent defines them.

use serde::{Deserialize, Serialize};

use schemas::avro::can_read;

/// What a new version of a subject has to agree with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing.
    None,
    /// Readers of the new version read values of the latest.
    #[default]
    Backward,
    /// … of all versions.
    BackwardTransitive,
    /// Readers of the latest version read values of the new one.
    Forward,
    /// … of all versions.
    ForwardTransitive,
    /// Both ways, with the latest.
    Full,
    /// Both ways, with all versions.
    FullTransitive,
}

impl Level {
    /// By its name in the REST interface, e.g. `BACKWARD`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_ascii_uppercase())).ok()
    }

    /// What is wrong with `new` after `versions` (oldest first); empty if
    /// nothing is.
    pub(crate) fn check(self, versions: &[&str], new: &str) -> Vec<String> {
        let all = matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        );
        let skip = if all { 0 } else { versions.len().saturating_sub(1) };
        let mut wrong = Vec::new();
        for &old in &versions[skip..] {
            if self.is_backward() {
                wrong.extend(unreadable(old, new, "reader", "new", "old"));
            }
            if self.is_forward() {
                wrong.extend(unreadable(new, old, "reader", "old", "new"));
            }
        }
        wrong
    }

    fn is_backward(self) -> bool {
        use Level::{Backward, BackwardTransitive, Full, FullTransitive};
        matches!(self, Backward | BackwardTransitive | Full | FullTransitive)
    }

    fn is_forward(self) -> bool {
        use Level::{Forward, ForwardTransitive, Full, FullTransitive};
        matches!(self, Forward | ForwardTransitive | Full | FullTransitive)
    }
}

fn unreadable(writer: &str, reader: &str, role: &str, by: &str, what: &str) -> Option<String> {
    match can_read(writer, reader) {
        Ok(Ok(())) => None,
        Ok(Err(cause)) => {
            Some(format!("{role} with the {by} schema can't read the {what}: {cause}"))
        }
        Err(cause) => Some(cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn levels_differ_in_direction_and_depth() {
        let none = record("");
        let optional = record(r#"{"name":"a","type":"long","default":0}"#);
        let required = record(r#"{"name":"a","type":"long"}"#);
        let table = [
            (Level::None, vec![&none], &required, true),
            (Level::Backward, vec![&none], &optional, true),
            (Level::Backward, vec![&none], &required, false),
            (Level::Backward, vec![&none, &optional], &required, true),
            (Level::BackwardTransitive, vec![&none, &optional], &required, false),
            (Level::Forward, vec![&none], &required, true),
            (Level::Forward, vec![&required], &none, false),
            (Level::Forward, vec![&required, &optional], &none, true),
            (Level::ForwardTransitive, vec![&required, &optional], &none, false),
            (Level::Full, vec![&none], &optional, true),
            (Level::Full, vec![&none], &required, false),
            (Level::Full, vec![&required], &none, false),
            (Level::FullTransitive, vec![&none, &optional], &required, false),
        ];
        for (index, (level, versions, new, fits)) in table.into_iter().enumerate() {
            let versions: Vec<&str> = versions.into_iter().map(String::as_str).collect();
            assert_eq!(level.check(&versions, new).is_empty(), fits, "row {index}: {level:?}");
        }
    }

    #[test]
    fn names_are_confluents() {
        assert_eq!(Level::parse("full_transitive"), Some(Level::FullTransitive));
        assert_eq!(Level::parse("SIDEWAYS"), None);
    }
}
