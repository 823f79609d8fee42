//! Reading variables: every error names the variable, shows what is wrong with
//! its value and says what is expected; values of secrets are never shown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

/// Prefixes under which an unknown name is a mistake, not somebody else's.
const OWN_PREFIXES: &[&str] = &[
    "RATE_LIMIT_",
    "JWT_",
    "WEBHOOK_",
    "WEBSOCKET_",
    "FRAUD_",
    "SIMULATION_",
    "STREAM_",
    "STANDBY_",
];

/// The variables of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    values: BTreeMap<String, String>,
}

impl Env {
    /// The process's own variables.
    pub(crate) fn of_process() -> Self {
        Self { values: std::env::vars().collect() }
    }

    /// Chosen variables, for tests.
    #[cfg(test)]
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        Self {
            values: values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    /// Adds the lines `NAME=value` of a file; what is set already wins.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read --env-file {}", path.display()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                bail!("{} line {}: expected NAME=value", path.display(), number + 1);
            };
            let value = value.trim().trim_matches('"');
            self.values.entry(name.trim().to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(())
    }

    /// The text of a variable; empty counts as unset.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The text of a variable, or a default.
    pub(crate) fn text_or(&self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or(default).to_owned()
    }

    /// A parsed variable; `expected` completes "expected …".
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| anyhow!("{name}={text:?} can't be read: expected {expected}")),
        }
    }

    /// A parsed variable, or a default.
    pub(crate) fn parsed_or<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
        default: T,
    ) -> Result<T> {
        Ok(self.parsed(name, expected)?.unwrap_or(default))
    }

    /// A number within bounds, or a default; `expected` names the bounds.
    pub(crate) fn within<T: FromStr + PartialOrd>(
        &self,
        name: &str,
        expected: &str,
        bounds: RangeInclusive<T>,
        default: T,
    ) -> Result<T> {
        match self.parsed(name, expected)? {
            None => Ok(default),
            Some(value) if bounds.contains(&value) => Ok(value),
            Some(_) => {
                let text = self.text(name).unwrap_or_default();
                bail!("{name}={text:?} can't be used: expected {expected}")
            }
        }
    }

    /// `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(other) => bail!("{name}={other:?} can't be read: expected true or false"),
        }
    }

    /// The items of a comma-separated list.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// Refuses names that look like ours and aren't.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<()> {
        for name in self.values.keys() {
            if OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                && !known.contains(&name.as_str())
            {
                let near = nearest(name, known)
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                bail!("{name} is not a setting of this program{near}");
            }
        }
        Ok(())
    }
}

/// The known name that shares the longest start and end with `name`.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let shared = |other: &str| {
        let start = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let end = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
        start + end
    };
    known.iter().copied().max_by_key(|other| shared(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_is_named_with_what_is_expected() {
        let env = Env::of(&[("RATE_LIMIT_PER_MINUTE", "many")]);
        let error = env.parsed::<u32>("RATE_LIMIT_PER_MINUTE", "requests per minute").unwrap_err();
        assert_eq!(
            error.to_string(),
            "RATE_LIMIT_PER_MINUTE=\"many\" can't be read: expected requests per minute"
        );
    }

    #[test]
    fn a_misspelt_name_stops_the_start() {
        let env = Env::of(&[("RATE_LIMIT_PER_MINUTES", "5"), ("HOME", "/")]);
        let error = env.refuse_unknown(&["RATE_LIMIT_PER_MINUTE", "JWT_SECRET_KEY"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "RATE_LIMIT_PER_MINUTES is not a setting of this program; did you mean RATE_LIMIT_PER_MINUTE?"
        );
    }

    #[test]
    fn a_variable_that_is_set_wins_over_the_file() {
        let file = std::env::temp_dir().join(format!("orders-env-{}", std::process::id()));
        std::fs::write(&file, "# comment\nA=1\nB=\"two\"\n").unwrap();
        let mut env = Env::of(&[("A", "0")]);
        env.add_file(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((env.text("A"), env.text("B")), (Some("0"), Some("two")));
    }
}
