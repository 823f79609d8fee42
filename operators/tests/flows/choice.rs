//! Which cases are replayed, and what is said of a name that none has.
//!
//! `cargo test NAME` hands NAME to every test binary, so a part of a name that no case has can't be an error by itself:
//! it may be meant for another one. It is when the oracle is addressed, by a variable of its own.

use std::collections::HashSet;

/// The variable that names cases exactly.
pub(crate) const CASES: &str = "ORACLE_CASES";
/// How many close names are suggested.
const SUGGESTED: usize = 3;
/// Options of Rust's own test harness that have a value after them.
const WITH_VALUE: [&str; 7] =
    ["--color", "--format", "--logfile", "--shuffle-seed", "--skip", "--test-threads", "-Z"];

/// Cases to replay.
#[derive(Debug, PartialEq)]
pub(crate) enum Choice {
    All,
    /// Those whose name has one of these in it.
    Parts(Vec<String>),
    /// Those of these names.
    Names(Vec<String>),
}

impl Choice {
    /// Of the list in `ORACLE_CASES`, if there is one, else of the command line's arguments.
    pub(crate) fn of(listed: Option<String>, arguments: impl Iterator<Item = String>) -> Self {
        if let Some(listed) = listed {
            return Self::Names(listed.split(',').map(|name| name.trim().to_owned()).collect());
        }
        let mut is_value = false;
        let parts: Vec<String> = arguments
            .filter(|argument| {
                let is_part = !is_value && !argument.starts_with('-');
                is_value = WITH_VALUE.contains(&argument.as_str());
                is_part
            })
            .collect();
        if parts.is_empty() { Self::All } else { Self::Parts(parts) }
    }

    pub(crate) fn takes(&self, case: &str) -> bool {
        match self {
            Self::All => true,
            Self::Parts(parts) => parts.iter().any(|part| case.contains(part.as_str())),
            Self::Names(names) => names.iter().any(|name| name == case),
        }
    }

    /// A line for each part or name that none of the cases has, with those that come close.
    pub(crate) fn unmatched(&self, cases: &[&str]) -> Vec<String> {
        let (given, verb, rest) = match self {
            Self::All => return Vec::new(),
            Self::Parts(parts) => (parts, "has", " in its name"),
            Self::Names(names) => (names, "is called", ""),
        };
        let line = |given: &String| {
            let close = closest(given, cases);
            let close = if close.is_empty() { "none".to_owned() } else { close.join(", ") };
            format!("no case {verb} `{given}`{rest}; close to it: {close} (all: --list)")
        };
        let matches = |given: &String| match self {
            Self::Parts(_) => cases.iter().any(|case| case.contains(given.as_str())),
            _ => cases.contains(&given.as_str()),
        };
        given.iter().filter(|given| !matches(given)).map(line).collect()
    }
}

/// Names that share at least a third of their pairs of letters with `given`, the closest first.
fn closest<'c>(given: &str, cases: &[&'c str]) -> Vec<&'c str> {
    let wanted = pairs(given);
    let likeness = |case: &str| {
        let pairs = pairs(case);
        200 * pairs.intersection(&wanted).count() / (pairs.len() + wanted.len()).max(1)
    };
    let mut close: Vec<(usize, &str)> = cases.iter().map(|case| (likeness(case), *case)).collect();
    close.retain(|(likeness, _)| *likeness >= 33);
    close.sort_by_key(|(likeness, _)| std::cmp::Reverse(*likeness));
    close.into_iter().map(|(_, case)| case).take(SUGGESTED).collect()
}

fn pairs(name: &str) -> HashSet<(char, char)> {
    name.chars().zip(name.chars().skip(1)).collect()
}
