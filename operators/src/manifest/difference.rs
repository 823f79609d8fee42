//! What a comparison of two manifests says.

use std::fmt;

use state_stores::partition::murmur2;

use super::Manifest;

/// Whether a topology can go on with the state that another left. In ascending order of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing that matters to state has changed.
    Same,
    /// It goes on; what else is to be known is listed.
    Compatible,
    /// It goes on after somebody has done what is listed, and says so.
    NeedsMigration,
    /// It can't: the rows would be misread, or lie in the wrong place.
    Incompatible,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Compatible => "compatible",
            Self::NeedsMigration => "needs migration",
            Self::Incompatible => "incompatible",
        })
    }
}

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How much it matters.
    pub verdict: Verdict,
    /// What has changed, by name: store, topic or application.
    pub subject: String,
    /// How it was.
    pub old: String,
    /// How it is.
    pub new: String,
    /// What that means, or what to do.
    pub remedy: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, subject, old, new, remedy } = self;
        write!(f, "{subject}: was {old}, is {new} ({verdict}): {remedy}")
    }
}

/// All differences between two manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The gravest of all.
    pub verdict: Verdict,
    /// The gravest first.
    pub differences: Vec<Difference>,
    token: u32,
}

impl Comparison {
    pub(super) fn new(old: &Manifest, new: &Manifest, mut differences: Vec<Difference>) -> Self {
        differences.sort_by_key(|difference| std::cmp::Reverse(difference.verdict));
        let verdict = differences.first().map_or(Verdict::Same, |difference| difference.verdict);
        let token = murmur2(format!("{}{}", old.to_json(), new.to_json()).as_bytes());
        Self { verdict, differences, token: token.cast_unsigned() }
    }

    /// Names this change from this old to this new manifest, so that whoever accepts it accepts nothing else.
    pub fn token(&self) -> String {
        format!("{:08x}", self.token)
    }
}

/// One line per difference.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, difference) in self.differences.iter().enumerate() {
            let line_end = if number + 1 < self.differences.len() { "\n" } else { "" };
            write!(f, "  {difference}{line_end}")?;
        }
        Ok(())
    }
}
