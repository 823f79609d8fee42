//! Users in the database.
//!
//! Invariant: an email is stored trimmed and in lower case, and belongs to one
//! user; the database's unique index decides races.

use std::str::FromStr;

use read_model::{Database, ReadModelError};
use schemas::{Micros, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::database::{reading, writing};
use crate::limits::Tier;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Own orders and webhooks.
    Customer,
    /// Everybody's.
    Admin,
}

impl Role {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Customer, Self::Admin].into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub user_id: UserId,
    /// Lower case.
    pub email: String,
    /// What the user may do.
    pub role: Role,
    /// What the user pays for.
    pub tier: Tier,
    /// When it was registered.
    pub created_at: Micros,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Identity.
    pub user_id: UserId,
    /// As [`normal_email`] gives it.
    pub email: String,
    /// PHC string; anything else never matches a password.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// When.
    pub created_at: Micros,
}

#[derive(sqlx::FromRow)]
struct RawUser {
    user_id: String,
    email: String,
    role: String,
    tier: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawCredentials {
    #[sqlx(flatten)]
    user: RawUser,
    password_hash: String,
}

impl RawCredentials {
    fn read(self) -> Result<(User, String), ReadModelError> {
        Ok((User::try_from(self.user)?, self.password_hash))
    }
}

impl TryFrom<RawUser> for User {
    type Error = ReadModelError;

    fn try_from(raw: RawUser) -> Result<Self, ReadModelError> {
        let corrupt = |what: &str| ReadModelError::Corrupt {
            table: "users",
            what: format!("{what} of {}", raw.user_id),
        };
        Ok(Self {
            user_id: raw.user_id.parse().map_err(|_| corrupt("user_id"))?,
            role: raw.role.parse().map_err(|()| corrupt("role"))?,
            tier: raw.tier.parse().map_err(|()| corrupt("tier"))?,
            created_at: Micros(raw.created_at),
            email: raw.email,
        })
    }
}

/// The user table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts(Database);

/// Trimmed and in lower case; none if it can't be an address.
#[must_use]
pub fn normal_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@')?;
    let clean = email.len() <= 254 && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    let local_ok = !local.is_empty() && local.len() <= 64 && !local.contains('@');
    let domain_ok = !domain.is_empty()
        && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-'));
    (clean && local_ok && domain_ok).then_some(email)
}

impl Accounts {
    /// Accounts in this database; [`migrate`](Self::migrate) it first.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Makes or updates the ingress's tables.
    ///
    /// # Errors
    /// The database can't be reached or its history is another program's.
    pub async fn migrate(&self) -> Result<(), ReadModelError> {
        super::database::migrate(&self.0).await
    }

    /// Makes an account with the standard tier; false if the email or id is taken.
    ///
    /// # Errors
    /// The database.
    pub async fn create(&self, user: &NewUser) -> Result<bool, ReadModelError> {
        const SQL: &str = "INSERT INTO users (user_id, email, password_hash, role, tier, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let made = writing!(self.0, pool => sqlx::query(SQL)
            .bind(user.user_id.to_string())
            .bind(&user.email)
            .bind(&user.password_hash)
            .bind(user.role.as_str())
            .bind(Tier::Standard.as_str())
            .bind(user.created_at.0)
            .execute(pool).await?.rows_affected());
        Ok(made == 1)
    }

    /// The account of an email with its password hash.
    ///
    /// # Errors
    /// The database.
    pub async fn by_email(&self, email: &str) -> Result<Option<(User, String)>, ReadModelError> {
        const SQL: &str = "SELECT user_id, email, role, tier, created_at, password_hash FROM users WHERE email = $1";
        let raw: Option<RawCredentials> =
            reading!(self.0, pool => sqlx::query_as(SQL).bind(email).fetch_optional(pool).await?);
        raw.map(RawCredentials::read).transpose()
    }

    /// The account with its password hash, as they are now.
    ///
    /// # Errors
    /// The database.
    pub async fn with_hash(
        &self,
        user_id: UserId,
    ) -> Result<Option<(User, String)>, ReadModelError> {
        const SQL: &str = "SELECT user_id, email, role, tier, created_at, password_hash FROM users WHERE user_id = $1";
        let raw: Option<RawCredentials> = reading!(self.0, pool => sqlx::query_as(SQL).bind(user_id.to_string()).fetch_optional(pool).await?);
        raw.map(RawCredentials::read).transpose()
    }

    /// The account.
    ///
    /// # Errors
    /// The database.
    pub async fn get(&self, user_id: UserId) -> Result<Option<User>, ReadModelError> {
        const SQL: &str =
            "SELECT user_id, email, role, tier, created_at FROM users WHERE user_id = $1";
        let raw: Option<RawUser> = reading!(self.0, pool => sqlx::query_as(SQL).bind(user_id.to_string()).fetch_optional(pool).await?);
        raw.map(User::try_from).transpose()
    }

    /// Replaces the password hash.
    ///
    /// # Errors
    /// The database.
    pub async fn set_password(&self, user_id: UserId, hash: &str) -> Result<(), ReadModelError> {
        const SQL: &str = "UPDATE users SET password_hash = $1 WHERE user_id = $2";
        writing!(self.0, pool => { sqlx::query(SQL).bind(hash).bind(user_id.to_string()).execute(pool).await?; });
        Ok(())
    }

    /// Changes tier or role; the account as it is then, none if there is none.
    ///
    /// # Errors
    /// The database.
    pub async fn change(
        &self,
        user_id: UserId,
        tier: Option<Tier>,
        role: Option<Role>,
    ) -> Result<Option<User>, ReadModelError> {
        const SQL: &str = "UPDATE users SET tier = COALESCE($1, tier), role = COALESCE($2, role) WHERE user_id = $3";
        writing!(self.0, pool => { sqlx::query(SQL)
            .bind(tier.map(Tier::as_str))
            .bind(role.map(Role::as_str))
            .bind(user_id.to_string())
            .execute(pool).await?; });
        self.get(user_id).await
    }

    /// Accounts by id, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database.
    pub async fn list(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, ReadModelError> {
        const SQL: &str = "SELECT user_id, email, role, tier, created_at FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2";
        let after = after.map_or_else(String::new, |id| id.to_string());
        let raw: Vec<RawUser> = reading!(self.0, pool => sqlx::query_as(SQL).bind(after).bind(i64::from(limit)).fetch_all(pool).await?);
        raw.into_iter().map(User::try_from).collect()
    }

    /// How many administrators there are.
    ///
    /// # Errors
    /// The database.
    pub async fn admins(&self) -> Result<i64, ReadModelError> {
        const SQL: &str = "SELECT COUNT(*) FROM users WHERE role = 'admin'";
        Ok(reading!(self.0, pool => sqlx::query_scalar(SQL).fetch_one(pool).await?))
    }
}

/// A random user id.
#[must_use]
pub fn new_user_id() -> UserId {
    UserId::new(Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_normal_or_refused() {
        assert_eq!(normal_email(" Ada@Example.COM ").as_deref(), Some("ada@example.com"));
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "a@b@example.com",
            "ada@.com",
            "ada@example..com",
            &format!("{}@x.y", "a".repeat(65)),
        ] {
            assert_eq!(normal_email(bad), None, "{bad}");
        }
    }
}
