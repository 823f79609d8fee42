//! What the rows of a store are to those who read them from outside (Q01).

use state_stores::StoreKind;

use crate::ops::split_machine_row;

/// What the bytes of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowLayout {
    /// The value.
    Value,
    /// `timestamp (8 bytes, big-endian) | value`.
    Timestamped,
    /// `length (4 bytes, big-endian) | value` for each value.
    List,
    /// A state machine's state and deadline.
    Machine,
    /// Known to the store's owner only: shown as bytes.
    Opaque,
    /// An operator's own: can't be asked about.
    Internal,
}

/// A row taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowParts<'r> {
    /// Of the newest record in it (ms).
    pub timestamp: Option<i64>,
    /// When the state machine is called again (ms).
    pub deadline: Option<i64>,
    /// Encoded; several for a list, none where a state machine has a deadline but no state.
    pub values: Vec<&'r [u8]>,
}

impl RowLayout {
    /// Rows of one value each; whether with a timestamp, sessions apart, which never have one.
    pub(crate) fn of_value(kind: StoreKind, is_timestamped: bool) -> Self {
        match kind {
            StoreKind::Session { .. } => Self::Value,
            StoreKind::KeyValue if !is_timestamped => Self::Value,
            StoreKind::KeyValue | StoreKind::Window { .. } | StoreKind::Versioned { .. } => {
                Self::Timestamped
            }
        }
    }

    /// Rows of a format with this mark.
    pub(crate) fn marked(kind: StoreKind, mark: &str) -> Self {
        if mark == "list-" { Self::List } else { Self::of_value(kind, !mark.is_empty()) }
    }

    /// Takes a row apart; `None`: it is damaged.
    #[must_use]
    pub fn parts(self, row: &[u8]) -> Option<RowParts<'_>> {
        let mut parts = RowParts::default();
        match self {
            Self::Value | Self::Opaque | Self::Internal => parts.values.push(row),
            Self::Timestamped => {
                let (timestamp, value) = row.split_first_chunk()?;
                parts.timestamp = Some(i64::from_be_bytes(*timestamp));
                parts.values.push(value);
            }
            Self::List => {
                let mut rest = row;
                while !rest.is_empty() {
                    let (length, after) = rest.split_first_chunk()?;
                    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                    let (value, after) = after.split_at_checked(length)?;
                    parts.values.push(value);
                    rest = after;
                }
            }
            Self::Machine => {
                let (deadline, state) = split_machine_row(row)?;
                parts.deadline = deadline;
                parts.values.extend(state);
            }
        }
        Some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_apart_and_damage_is_noticed() {
        let row = [&7_i64.to_be_bytes()[..], b"v"].concat();
        let parts = RowLayout::Timestamped.parts(&row).unwrap();
        assert_eq!((parts.timestamp, parts.values), (Some(7), vec![&b"v"[..]]));
        let parts = RowLayout::List.parts(b"\0\0\0\x01a\0\0\0\0").unwrap();
        assert_eq!(parts.values, [&b"a"[..], b""]);
        let row = [&[3][..], &9_i64.to_be_bytes(), b"s"].concat();
        let parts = RowLayout::Machine.parts(&row).unwrap();
        assert_eq!((parts.deadline, parts.values), (Some(9), vec![&b"s"[..]]));
        assert_eq!(RowLayout::Timestamped.parts(b"short"), None);
        assert_eq!(RowLayout::List.parts(b"\0\0\0\x02a"), None);
        assert_eq!(RowLayout::Machine.parts(b""), None);
    }
}
