//! Refresh families: one per login, one living token each.
//!
//! Invariants: a refresh token works once; whoever shows a used one ends the
//! whole family, because either the thief or the owner is then holding a copy
//! (RFC 9700 §4.14). Only hashes are stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use read_model::{Database, ReadModelError};
use schemas::{Micros, UserId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::database::{reading, writing};

const DAY: i64 = 86_400_000_000;

/// What came of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// The next token of the family.
    Next {
        /// The login.
        session: Uuid,
        /// Whose.
        user_id: UserId,
        /// The new refresh token, shown once.
        token: String,
    },
    /// A used token came again: the family is dead.
    Reused {
        /// The login that was ended.
        session: Uuid,
        /// Whose.
        user_id: UserId,
    },
    /// Unknown, expired or revoked.
    Refused,
}

/// The session tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions {
    database: Database,
    days: i64,
}

#[derive(sqlx::FromRow)]
struct Shown {
    session_id: String,
    user_id: String,
    used_at: Option<i64>,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl Sessions {
    /// Sessions that last this many days.
    #[must_use]
    pub fn new(database: Database, days: u32) -> Self {
        Self { database, days: i64::from(days) }
    }

    /// Begins a family. Also forgets families that expired.
    ///
    /// # Errors
    /// The database, or no randomness.
    pub async fn begin(
        &self,
        user_id: UserId,
        now: Micros,
    ) -> Result<(Uuid, String), ReadModelError> {
        const FORGET: &str = "DELETE FROM sessions WHERE expires_at < $1";
        const SESSION: &str = "INSERT INTO sessions (session_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
        let session = Uuid::new_v4();
        let token = new_token()?;
        writing!(self.database, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query(FORGET).bind(now.0).execute(&mut *transaction).await?;
            sqlx::query(SESSION)
                .bind(session.to_string()).bind(user_id.to_string()).bind(now.0).bind(now.0 + self.days * DAY)
                .execute(&mut *transaction).await?;
            sqlx::query(TOKEN).bind(hash(&token)).bind(session.to_string()).bind(now.0).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok((session, token))
    }

    /// Rotates a refresh token.
    ///
    /// # Errors
    /// The database, or no randomness.
    pub async fn refresh(&self, token: &str, now: Micros) -> Result<Refreshed, ReadModelError> {
        const USE: &str =
            "UPDATE refresh_tokens SET used_at = $1 WHERE token_hash = $2 AND used_at IS NULL";
        let Some(shown) = self.find(token).await? else { return Ok(Refreshed::Refused) };
        let (Ok(session), Ok(user_id)) = (shown.session_id.parse::<Uuid>(), shown.user_id.parse())
        else {
            return Ok(Refreshed::Refused);
        };
        if shown.revoked_at.is_some() || shown.expires_at <= now.0 {
            return Ok(Refreshed::Refused);
        }
        let next = new_token()?;
        let rotated = shown.used_at.is_none()
            && writing!(self.database, pool => {
                let mut transaction = pool.begin().await?;
                let used = sqlx::query(USE).bind(now.0).bind(hash(token)).execute(&mut *transaction).await?.rows_affected();
                if used == 1 {
                    sqlx::query(TOKEN).bind(hash(&next)).bind(session.to_string()).bind(now.0).execute(&mut *transaction).await?;
                    transaction.commit().await?;
                }
                used == 1
            });
        if rotated {
            return Ok(Refreshed::Next { session, user_id, token: next });
        }
        self.end(session, now).await?;
        Ok(Refreshed::Reused { session, user_id })
    }

    /// The login a refresh token belongs to, if it is this user's.
    ///
    /// # Errors
    /// The database.
    pub async fn session_of(
        &self,
        token: &str,
        user_id: UserId,
    ) -> Result<Option<Uuid>, ReadModelError> {
        let shown = self.find(token).await?;
        Ok(shown
            .filter(|shown| shown.user_id == user_id.to_string())
            .and_then(|shown| shown.session_id.parse().ok()))
    }

    /// Ends a family.
    ///
    /// # Errors
    /// The database.
    pub async fn end(&self, session: Uuid, now: Micros) -> Result<(), ReadModelError> {
        const SQL: &str =
            "UPDATE sessions SET revoked_at = $1 WHERE session_id = $2 AND revoked_at IS NULL";
        writing!(self.database, pool => { sqlx::query(SQL).bind(now.0).bind(session.to_string()).execute(pool).await?; });
        Ok(())
    }

    /// Ends all families of a user but one; the ones that were ended.
    ///
    /// # Errors
    /// The database.
    pub async fn end_others(
        &self,
        user_id: UserId,
        keep: Option<Uuid>,
        now: Micros,
    ) -> Result<Vec<Uuid>, ReadModelError> {
        const SQL: &str = "UPDATE sessions SET revoked_at = $1 WHERE user_id = $2 AND session_id <> $3 AND revoked_at IS NULL RETURNING session_id";
        let keep = keep.map_or_else(String::new, |session| session.to_string());
        let ended: Vec<String> = writing!(self.database, pool => sqlx::query_scalar(SQL).bind(now.0).bind(user_id.to_string()).bind(keep).fetch_all(pool).await?);
        Ok(ended.iter().filter_map(|id| id.parse().ok()).collect())
    }

    async fn find(&self, token: &str) -> Result<Option<Shown>, ReadModelError> {
        const SQL: &str = "SELECT t.session_id, s.user_id, t.used_at, s.expires_at, s.revoked_at \
             FROM refresh_tokens t JOIN sessions s ON s.session_id = t.session_id WHERE t.token_hash = $1";
        Ok(
            reading!(self.database, pool => sqlx::query_as(SQL).bind(hash(token)).fetch_optional(pool).await?),
        )
    }
}

const TOKEN: &str =
    "INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES ($1, $2, $3)";

/// 256 random bits.
fn new_token() -> Result<String, ReadModelError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        ReadModelError::Database(sqlx::Error::Io(std::io::Error::other(error.to_string())))
    })?;
    Ok(format!("rt_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
