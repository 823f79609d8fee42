//! Password hashing: argon2id off the async threads.
//!
//! Invariants: at most `concurrency` hashes run at once, so that a login storm
//! can't take the memory or every core; checking a password costs the same
//! whether the user exists or not.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

/// Cost of one hash (OWASP's second recommendation by default).
#[derive(Clone, Copy, Debug)]
pub struct PasswordSettings {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Hashes at once.
    pub concurrency: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, concurrency: 2 }
    }
}

/// The hasher could not do its work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("password hashing: {0}")]
pub struct HashError(String);

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords {
    argon: Argon2<'static>,
    places: Arc<Semaphore>,
    /// Checked where there is no such user.
    nobody: Arc<str>,
}

impl Passwords {
    /// Hashes with this cost.
    ///
    /// # Errors
    /// A cost argon2 doesn't accept.
    pub fn new(settings: PasswordSettings) -> Result<Self, HashError> {
        let params = Params::new(settings.memory_kib, settings.passes, 1, None)
            .map_err(|error| HashError(error.to_string()))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon, b"nobody has this password")?;
        Ok(Self {
            argon,
            places: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            nobody: nobody.into(),
        })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// [`HashError`] only if the process is going down or has no memory.
    pub async fn hash(&self, password: String) -> Result<String, HashError> {
        let argon = self.argon.clone();
        self.off_thread(move || hash(&argon, password.as_bytes())).await?
    }

    /// True if the password belongs to the hash. `None` costs as much and is
    /// always false.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, HashError> {
        let argon = self.argon.clone();
        let nobody = self.nobody.clone();
        self.off_thread(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&nobody);
            let matches = PasswordHash::new(text)
                .is_ok_and(|parsed| argon.verify_password(password.as_bytes(), &parsed).is_ok());
            matches && known
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|error| HashError(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        })
        .await
        .map_err(|error| HashError(error.to_string()))
    }
}

fn hash(argon: &Argon2<'static>, password: &[u8]) -> Result<String, HashError> {
    argon
        .hash_password(password)
        .map(|hash| hash.to_string())
        .map_err(|error| HashError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_checked_and_nobody_never_matches() {
        let passwords =
            Passwords::new(PasswordSettings { memory_kib: 64, passes: 1, concurrency: 1 }).unwrap();
        let stored = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("nobody has this password".to_owned(), None).await.unwrap());
    }
}
