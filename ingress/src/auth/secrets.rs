//! What must be secret is checked before anything starts (T15).

use super::tokens::TokenSettings;

/// Secrets that stand in documents and examples.
const PLACEHOLDERS: [&str; 4] =
    ["your-secret-key-change-in-production", "your-secret-key-here", "change-me", "changeme"];
/// HS256 needs a key as long as its hash (RFC 7518 §3.2).
const SHORTEST: usize = 32;

/// The configuration must be changed before the system may start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The secret of the guide's `.env.example`.
    #[error(
        "JWT_SECRET_KEY is the placeholder of the example; set one of your own, e.g. `openssl rand -hex 32`"
    )]
    Placeholder,
    /// Too easily guessed.
    #[error("JWT_SECRET_KEY has {0} bytes; HS256 needs at least 32, e.g. `openssl rand -hex 32`")]
    TooShort(usize),
    /// Only one algorithm is built in.
    #[error("JWT_ALGORITHM is {0:?}; only HS256 is supported")]
    Algorithm(String),
    /// No token would ever be valid.
    #[error("JWT_ACCESS_TOKEN_EXPIRE_MINUTES is {0}; expected 1 to 60")]
    Lifetime(u32),
}

/// Checks the token settings. In development any secret will do.
///
/// # Errors
/// [`StartError`], with the variable's name and the remedy.
pub fn check_secrets(settings: &TokenSettings, development: bool) -> Result<(), StartError> {
    if settings.algorithm != "HS256" {
        return Err(StartError::Algorithm(settings.algorithm.clone()));
    }
    if !(1..=60).contains(&settings.access_minutes) {
        return Err(StartError::Lifetime(settings.access_minutes));
    }
    if development {
        return Ok(());
    }
    let secret = settings.secret.trim();
    let lower = secret.to_ascii_lowercase();
    if PLACEHOLDERS.contains(&lower.as_str())
        || lower.contains("change-in-production")
        || lower.contains("change-this")
    {
        return Err(StartError::Placeholder);
    }
    if secret.len() < SHORTEST {
        return Err(StartError::TooShort(secret.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_development_placeholders_and_short_secrets_stop_the_start() {
        let check =
            |secret: &str, development| check_secrets(&TokenSettings::new(secret), development);
        assert_eq!(
            check("your-secret-key-change-in-production", false),
            Err(StartError::Placeholder)
        );
        assert_eq!(
            check("your-super-secret-key-change-this-in-production", false),
            Err(StartError::Placeholder)
        );
        assert_eq!(check("short", false), Err(StartError::TooShort(5)));
        assert_eq!(check("0123456789abcdef0123456789abcdef", false), Ok(()));
        assert_eq!(check("short", true), Ok(()));
    }

    #[test]
    fn other_algorithms_are_refused_everywhere() {
        let settings = TokenSettings { algorithm: "none".to_owned(), ..TokenSettings::new("x") };
        assert_eq!(check_secrets(&settings, true), Err(StartError::Algorithm("none".to_owned())));
    }
}
