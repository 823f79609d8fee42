//! Secrets of a process. Outside development all must be given; in development
//! missing ones are made once and kept under `DATA_DIR/secrets`, readable by
//! the owner only, so that every command of one machine agrees on them.

use anyhow::{Result, bail};
use ingress::auth::{TokenSettings, check_secrets};
use read_model::seal::key_from_text;

use crate::config::Config;
use crate::data_dir::secret;

/// Keys and passwords. Never printed as a whole.
pub(crate) struct Secrets {
    /// Signs access tokens.
    pub jwt: String,
    /// Seals what lies in topics and tables; keys derived ids and cursors.
    pub data_key: [u8; 32],
    /// Email and password of the first administrator.
    pub admin: Option<(String, String)>,
    /// The administrator's password was made here: worth showing once.
    pub admin_generated: bool,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Reads or makes them, and refuses weak ones outside development (T15).
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let development = config.development();
        let jwt = match &config.jwt_secret {
            Some(secret) => secret.clone(),
            None if development => secret(&config.data_dir, "jwt", 32)?,
            None => bail!(
                "JWT_SECRET_KEY is not set: choose 32 random bytes or more, e.g. `openssl rand -hex 32`"
            ),
        };
        let text = match &config.data_encryption_key {
            Some(text) => text.clone(),
            None if development => secret(&config.data_dir, "data-encryption-key", 32)?,
            None => bail!(
                "DATA_ENCRYPTION_KEY is not set: choose 32 random bytes, e.g. `openssl rand -hex 32`"
            ),
        };
        let data_key = key_from_text(text.trim())?;
        let (admin, admin_generated) = match (&config.admin_email, &config.admin_password) {
            (Some(email), Some(password)) => (Some((email.clone(), password.clone())), false),
            (None, None) if development => {
                let known = config.data_dir.join("secrets/admin-password").exists();
                let password = secret(&config.data_dir, "admin-password", 12)?;
                (Some(("admin@orders.localhost".to_owned(), password)), !known)
            }
            (None, None) => (None, false),
            _ => bail!("ADMIN_EMAIL and ADMIN_PASSWORD must be set together"),
        };
        let secrets = Self { jwt, data_key, admin, admin_generated };
        check_secrets(&secrets.tokens(config), development)?;
        Ok(secrets)
    }

    /// Settings of access tokens.
    pub(crate) fn tokens(&self, config: &Config) -> TokenSettings {
        let mut settings = TokenSettings::new(self.jwt.clone());
        settings.access_minutes = config.jwt_minutes;
        settings
    }
}
