//! Refusals of the registry, with Confluent's error codes.

use super::storage::StorageError;

/// Why a request to the registry was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// 40401.
    #[error("subject '{0}' not found")]
    SubjectNotFound(String),
    /// 40402.
    #[error("version {version} of subject '{subject}' not found")]
    VersionNotFound {
        /// Subject.
        subject: String,
        /// As asked.
        version: String,
    },
    /// 40403.
    #[error("schema not found")]
    SchemaNotFound,
    /// 40408.
    #[error("subject '{0}' does not have subject-level compatibility configured")]
    NoSubjectLevel(String),
    /// 409.
    #[error(
        "schema being registered is incompatible with an earlier schema for subject '{subject}': {}",
        .details.join("; ")
    )]
    Incompatible {
        /// Subject.
        subject: String,
        /// What is wrong.
        details: Vec<String>,
    },
    /// 42201.
    #[error("invalid schema: {0}")]
    InvalidSchema(String),
    /// 42202.
    #[error("'{0}' is not a version: expected a number from 1 to 2147483647 or \"latest\"")]
    InvalidVersion(String),
    /// 42203.
    #[error(
        "invalid compatibility level: expected NONE, BACKWARD, FORWARD, FULL or one of the last three with _TRANSITIVE"
    )]
    InvalidLevel,
    /// 400.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// 50001.
    #[error("error in the registry's storage: {0}")]
    Storage(#[from] StorageError),
}

impl RegistryError {
    /// Confluent's `error_code`.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::SubjectNotFound(_) => 40401,
            Self::VersionNotFound { .. } => 40402,
            Self::SchemaNotFound => 40403,
            Self::NoSubjectLevel(_) => 40408,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::InvalidLevel => 42203,
            Self::BadRequest(_) => 400,
            Self::Storage(_) => 50001,
        }
    }

    /// HTTP status: the first three digits of the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        let code = self.code();
        let status = if code > 999 { code / 100 } else { code };
        u16::try_from(status).unwrap_or(500)
    }
}
