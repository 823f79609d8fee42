//! Accounts that exist before anybody registers (`contract.md` §1.4).

use read_model::ReadModelError;
use schemas::{Micros, UserId};
use uuid::Uuid;

use super::accounts::{Accounts, NewUser, Role, new_user_id, normal_email};
use super::passwords::{HashError, Passwords};

/// The customer of the guide's test bodies (R293).
pub const GUIDE_CUSTOMER: UserId =
    UserId::new(Uuid::from_u128(0x123e_4567_e89b_12d3_a456_4266_1417_4000));

/// Why the accounts could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstAccountError {
    /// The database can't be reached.
    #[error(transparent)]
    Database(#[from] ReadModelError),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// `ADMIN_EMAIL`.
    #[error("ADMIN_EMAIL is not an email address")]
    Email,
    /// `ADMIN_PASSWORD`.
    #[error("ADMIN_PASSWORD must have 12 to 128 characters")]
    Password,
    /// The email belongs to a customer.
    #[error("ADMIN_EMAIL belongs to an account that is not an administrator's; choose another")]
    Taken,
}

impl Accounts {
    /// Makes the first administrator if there is none; true if it did.
    ///
    /// # Errors
    /// [`FirstAccountError`], with the variable's name.
    pub async fn ensure_admin(
        &self,
        passwords: &Passwords,
        email: &str,
        password: &str,
        now: Micros,
    ) -> Result<bool, FirstAccountError> {
        let email = normal_email(email).ok_or(FirstAccountError::Email)?;
        if !(12..=128).contains(&password.chars().count()) {
            return Err(FirstAccountError::Password);
        }
        if self.admins().await? > 0 {
            return Ok(false);
        }
        let password_hash = passwords.hash(password.to_owned()).await?;
        let user = NewUser {
            user_id: new_user_id(),
            email,
            password_hash,
            role: Role::Admin,
            created_at: now,
        };
        if self.create(&user).await? || self.admins().await? > 0 {
            Ok(true)
        } else {
            Err(FirstAccountError::Taken)
        }
    }

    /// Makes the guide's customer, who has no password (development only).
    ///
    /// # Errors
    /// The database.
    pub async fn ensure_guide_customer(&self, now: Micros) -> Result<(), ReadModelError> {
        let user = NewUser {
            user_id: GUIDE_CUSTOMER,
            email: "guide@orders.localhost".to_owned(),
            password_hash: "!".to_owned(),
            role: Role::Customer,
            created_at: now,
        };
        self.create(&user).await.map(drop)
    }
}
