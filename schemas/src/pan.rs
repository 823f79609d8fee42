//! Finds card numbers where none may be (T25).
//!
//! Invariant: nothing here returns or logs the digits found.

/// Shortest and longest card numbers (ISO/IEC 7812).
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// True if the text holds a run of 13–19 digits that passes Luhn's check.
/// Single spaces and hyphens between digits don't end a run. A run with
/// letters or further digits around it is searched too: `order-4111…` counts.
///
/// UUIDs in the text are passed over: their groups are separated like a card
/// number's, and one in a few hundred would be refused.
///
/// ```
/// use schemas::pan::contains_card_number;
/// assert!(contains_card_number("card 4111 1111 1111 1111, thanks"));
/// assert!(!contains_card_number("4111 1111 1111 1112"));
/// ```
#[must_use]
pub fn contains_card_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut run: Vec<u8> = Vec::new();
    let mut separator = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let after_uuid = if run.is_empty() { uuid_at(bytes, at) } else { None };
        match byte {
            _ if after_uuid.is_some() => {}
            b'0'..=b'9' => {
                run.push(byte - b'0');
                separator = false;
            }
            b' ' | b'-' if !run.is_empty() && !separator => separator = true,
            _ => {
                if is_card_number(&run) {
                    return true;
                }
                run.clear();
                separator = false;
            }
        }
        at = after_uuid.unwrap_or(at + 1);
    }
    is_card_number(&run)
}

/// Where a hyphenated UUID that begins at `at` ends.
fn uuid_at(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + 36;
    let whole = bytes.get(at..end)?.iter().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    whole.then_some(end)
}

/// All digits of a run are one number: a longer run is no card number, or
/// every tenth long digit string would be one.
fn is_card_number(digits: &[u8]) -> bool {
    LENGTHS.contains(&digits.len()) && digits.iter().any(|&d| d != 0) && luhn(digits)
}

/// Luhn's check (ISO/IEC 7812-1 annex B).
#[must_use]
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| {
            let digit = u32::from(digit);
            match (index % 2, digit) {
                (0, _) => digit,
                (_, 0..=4) => digit * 2,
                _ => digit * 2 - 9,
            }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_schemes_test_numbers_are_found() {
        for text in [
            "4111111111111111",
            "5555-5555-5555-4444",
            "3782 822463 10005",
            "pan=6011000990139424;",
            "x4222222222222x",
            "4000 0000 0000 0000 006",
            "{\"note\":\"4111 1111 1111 1111\"}",
        ] {
            assert!(contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_not() {
        for text in [
            "",
            "4111111111111112",
            "411111111111",
            "41111111111111111111",
            "0000000000000000",
            "4111  1111  1111  1111",
            "123e4567-e89b-12d3-a456-426614174000",
            "order 12345678-1234-1234-1234-123456789015 of today",
            "2026-01-31T09:00:00.000000Z",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn one_check_digit_in_ten_passes(mut digits in prop::collection::vec(0_u8..10, 12..18)) {
            digits.push(0);
            let last = digits.len() - 1;
            let passing = (0..10).filter(|&check| {
                digits[last] = check;
                luhn(&digits)
            });
            prop_assert_eq!(passing.count(), 1);
        }
    }
}
