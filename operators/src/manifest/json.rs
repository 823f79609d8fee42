//! A manifest as text and back.

use serde::Deserialize;

use super::{Manifest, VERSION};

/// Text that is no manifest of this program's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Written by a later program.
    #[error(
        "the manifest has version {found}, this program knows {VERSION}: start the program that wrote it, or a later one"
    )]
    Newer {
        /// What the text says.
        found: u32,
    },
    /// Not JSON, or without what a manifest has.
    #[error("the manifest is damaged: {detail}")]
    Damaged {
        /// Where it stops making sense.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Manifest {
    /// The JSON form of the [module's page](super), indented, ending with a line end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("names and numbers are valid JSON") + "\n"
    }

    /// Reads what [`to_json`](Self::to_json) of this or an earlier version wrote. Fields it doesn't know are left out.
    ///
    /// # Errors
    /// The text is of a later version, or no manifest.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let damaged =
            |error: serde_json::Error| ManifestError::Damaged { detail: error.to_string() };
        // First the version alone: what else a later one holds can't be known.
        let Head { version: found } = serde_json::from_str(text).map_err(damaged)?;
        if found > VERSION {
            return Err(ManifestError::Newer { found });
        }
        serde_json::from_str(text).map_err(damaged)
    }
}
