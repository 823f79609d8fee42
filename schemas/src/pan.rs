//! Finds card numbers where none may be (T25).
//!
//! Invariant: nothing here returns or logs the digits found.

/// Shortest and longest card numbers (ISO/IEC 7812).
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// Digits in each group but the last of a card number that is part of a longer
/// run, at least. Cards are printed in groups of four and more; telephone
/// numbers and dates in a row have shorter ones.
const LEAST_GROUP: usize = 4;

/// True if the text holds a number of 13–19 digits that passes Luhn's check.
///
/// Digits form groups; single spaces or hyphens join groups to a run. Looked at
/// are each group, each whole run, and each part of a run that reads like a
/// card, so that a date, a code or an amount beside the number doesn't hide it.
/// Letters don't either: `order-4111…` counts. A group is never cut, or every
/// long string of digits would hold a card number somewhere.
///
/// UUIDs in the text are passed over: their groups are separated like a card
/// number's, and one in a few hundred would be refused.
///
/// ```
/// use schemas::pan::contains_card_number;
/// assert!(contains_card_number("card 4111 1111 1111 1111, thanks"));
/// assert!(contains_card_number("4111-1111-1111-1111 12/27 123"));
/// assert!(!contains_card_number("4111 1111 1111 1112"));
/// ```
#[must_use]
pub fn contains_card_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut run = Run::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let after_uuid = if run.in_group { None } else { uuid_at(bytes, at) };
        match byte {
            _ if after_uuid.is_some() => {
                if run.ends_with_card_number() {
                    return true;
                }
            }
            b'0'..=b'9' => run.push(byte - b'0'),
            b' ' | b'-' if run.in_group => run.in_group = false,
            _ => {
                if run.ends_with_card_number() {
                    return true;
                }
            }
        }
        at = after_uuid.unwrap_or(at + 1);
    }
    run.ends_with_card_number()
}

/// True if the digits of a number, before a decimal point and after it, begin as payment cards do, are as many and pass
/// Luhn's check. Times are no cards: one in ten passes the check, but in milliseconds and microseconds they begin with 1,
/// 20 or 21 until 2039.
///
/// ```
/// use schemas::pan::is_issued_card_number;
/// assert!(is_issued_card_number("4111111111111111"));
/// assert!(!is_issued_card_number("1700000000000001"));
/// ```
#[must_use]
pub fn is_issued_card_number(number: &str) -> bool {
    number.split(|c: char| !c.is_ascii_digit()).any(|digits| {
        let digits: Vec<u8> = digits.bytes().map(|byte| byte - b'0').collect();
        issued(&digits) && is_card_number(&digits)
    })
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

/// Groups of digits, one separator between each two.
#[derive(Default)]
struct Run {
    digits: Vec<u8>,
    /// Where each group begins in `digits`.
    starts: Vec<usize>,
    /// The last byte was a digit.
    in_group: bool,
}

impl Run {
    fn push(&mut self, digit: u8) {
        if !self.in_group {
            self.starts.push(self.digits.len());
            self.in_group = true;
        }
        self.digits.push(digit);
    }

    /// Ends the run; true if a card number is in it. Per group the work is
    /// bounded by the longest card number.
    fn ends_with_card_number(&mut self) -> bool {
        let found = (0..self.starts.len()).any(|first| self.begins_with_card_number(first));
        self.digits.clear();
        self.starts.clear();
        self.in_group = false;
        found
    }

    /// True if group `first` and none or more after it are a card number.
    fn begins_with_card_number(&self, first: usize) -> bool {
        let groups = self.starts.len();
        let start_of = |group: usize| self.starts.get(group).copied().unwrap_or(self.digits.len());
        let mut printed = true;
        for after in first + 1..=groups {
            let number = &self.digits[start_of(first)..start_of(after)];
            if number.len() > *LENGTHS.end() {
                return false;
            }
            let whole = after - first == 1 || (first == 0 && after == groups);
            if (whole || (printed && issued(number))) && is_card_number(number) {
                return true;
            }
            printed &= start_of(after) - start_of(after - 1) >= LEAST_GROUP;
        }
        false
    }
}

/// True if payment cards begin so (ISO/IEC 7812 ranges in use): not a year and
/// not a trunk prefix.
fn issued(number: &[u8]) -> bool {
    matches!(number, [2, 2..=7, ..] | [3..=6, ..])
}

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
            "4111111111111111 12/27",
            "4111 1111 1111 1111 123",
            "5555 5555 5555 4444 12 26",
            "12 4111-1111-1111-1111-999",
            "2026-11-22 3782 822463 10005 1234",
            "10 4000 0000 0000 0000 006 1",
            "123e4567-e89b-12d3-a456-426614174000 4111111111111111",
            "4111111111111111 123e4567-e89b-12d3-a456-426614174000",
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
            "2026-01-31 09:00, 2026-02-01 10:30",
            "555-123-4567 555-987-6543 555-456-7890",
            "+43 664 123 45 67 +43 664 765 43 21",
            "1 12345678-1234-1234-1234-123456789015",
            "4111 11111111111111111111 11111111",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn telephone_numbers_and_dates_in_a_row_are_not() {
        // A whole run counts, so each sample begins with a longer one.
        for number in 1_000..3_000_u32 {
            let text = format!(
                "555-{:03}-{number} 555-{:03}-{number} 555-0100",
                number % 997,
                number % 991
            );
            assert!(!contains_card_number(&text), "{text}");
            let text =
                format!("2026-11-{:02} {number} 2026-12-{:02} {number}", number % 30, number % 31);
            assert!(!contains_card_number(&text), "{text}");
        }
    }

    #[test]
    fn the_work_does_not_grow_with_the_square_of_the_text() {
        // Minutes, if it did.
        for piece in ["1 ", "1234 ", "41 1-", "9"] {
            assert!(!contains_card_number(&piece.repeat(1 << 18)), "{piece}");
        }
    }

    /// A card number of a scheme's prefix and the printed groups of it.
    fn printed() -> impl Strategy<Value = String> {
        let digits = prop::collection::vec(0_u8..10, 14);
        (prop::sample::select(vec![[2_u8, 7], [3, 7], [4, 0], [5, 5], [6, 2]]), digits).prop_map(
            |(prefix, rest)| {
                let mut digits = prefix.to_vec();
                digits.extend(rest);
                let last = digits.len() - 1;
                while !luhn(&digits) {
                    digits[last] = (digits[last] + 1) % 10;
                }
                let group = |four: &[u8]| four.iter().map(u8::to_string).collect::<String>();
                digits.chunks(4).map(group).collect::<Vec<_>>().join(" ")
            },
        )
    }

    proptest! {
        #[test]
        fn numbers_beside_it_hide_no_card(
            card in printed(),
            before in prop::option::of(0_u32..1_000_000),
            after in prop::collection::vec(0_u32..1_000_000, 0..4),
            joined in any::<bool>(),
        ) {
            let card = if joined { card.replace(' ', "") } else { card };
            let before = before.map(|n| format!("{n} ")).unwrap_or_default();
            let after: String = after.iter().map(|n| format!("-{n}")).collect();
            let text = format!("{before}{card}{after}");
            prop_assert!(contains_card_number(&text), "{}", text);
        }

        #[test]
        fn uuids_are_not(numbers in prop::collection::vec(any::<u128>(), 1..5)) {
            let ids = numbers.into_iter().map(|n| uuid::Uuid::from_u128(n).to_string());
            let text = ids.collect::<Vec<_>>().join(" ");
            prop_assert!(!contains_card_number(&text), "{}", text);
        }

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
