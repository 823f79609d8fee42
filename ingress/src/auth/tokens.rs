//! Access tokens: JWT signed with HS256, checked as RFC 8725 asks.
//!
//! Invariants: the algorithm comes from the configuration, never from the token;
//! keys named or carried by a token are ignored; the verifier itself enforces
//! the lifetime, whatever `exp` says.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use schemas::{Micros, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::Role;
use crate::limits::Tier;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;
/// Clocks of two instances may differ by this much, in seconds.
const LEEWAY: i64 = 10;
/// RFC 9068 §2.1: what tells an access token from any other.
const TYPE: &str = "at+jwt";

/// How tokens are made.
#[derive(Clone)]
pub struct TokenSettings {
    /// `JWT_SECRET_KEY`.
    pub secret: String,
    /// `JWT_ALGORITHM`; only `HS256`.
    pub algorithm: String,
    /// `JWT_ACCESS_TOKEN_EXPIRE_MINUTES` (R145).
    pub access_minutes: u32,
    /// Days until a session must log in again.
    pub refresh_days: u32,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings")
            .field("access_minutes", &self.access_minutes)
            .field("refresh_days", &self.refresh_days)
            .finish_non_exhaustive()
    }
}

impl TokenSettings {
    /// The guide's defaults with this secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            algorithm: "HS256".to_owned(),
            access_minutes: 15,
            refresh_days: 30,
            issuer: "orders".to_owned(),
            audience: "orders-api".to_owned(),
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// This token's own id.
    pub jti: Uuid,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Dead from here on, seconds since 1970.
    pub exp: i64,
    /// Issued at, milliseconds since 1970: what a revocation is compared with.
    pub iat_ms: i64,
    /// What the user may do.
    pub role: Role,
    /// What the user pays for.
    pub tier: Tier,
    /// The login it came from; none for tokens made by the CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
}

/// Why a token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours: shape, algorithm, signature, issuer or audience.
    #[error("the access token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// Logged out, or the user's rights changed.
    #[error("the access token was revoked")]
    Revoked,
}

/// Signs and checks access tokens. Holds no state: see
/// [`Verifier`](super::Verifier) for revocations.
#[derive(Clone)]
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
    lifetime: i64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Uses these settings; check them first ([`super::check_secrets`]).
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below against the caller's clock.
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(settings.secret.as_bytes()),
            checking: DecodingKey::from_secret(settings.secret.as_bytes()),
            validation,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            lifetime: i64::from(settings.access_minutes) * 60,
        }
    }

    /// How long a token lives, in seconds.
    #[must_use]
    pub fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// A new token for a user.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if signing fails, which it doesn't with HS256.
    pub fn issue(
        &self,
        user: UserId,
        role: Role,
        tier: Tier,
        session: Option<Uuid>,
        now: Micros,
    ) -> Result<String, TokenError> {
        let iat = now.0.div_euclid(1_000_000);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user,
            jti: Uuid::new_v4(),
            iat,
            exp: iat + self.lifetime,
            iat_ms: now.as_millis(),
            role,
            tier,
            sid: session,
        };
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(|_| TokenError::Invalid)
    }

    /// Checks a token's form, signature and age.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] or [`TokenError::Expired`].
    pub fn verify(&self, token: &str, now: Micros) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let data = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation)
            .map_err(|_| TokenError::Invalid)?;
        let typed = data.header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE));
        let claims = data.claims;
        if !typed || data.header.crit.is_some() || claims.exp - claims.iat > self.lifetime {
            return Err(TokenError::Invalid);
        }
        let now = now.0.div_euclid(1_000_000);
        if claims.iat > now + LEEWAY {
            return Err(TokenError::Invalid);
        }
        if claims.exp + LEEWAY <= now {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use serde_json::json;

    use super::*;

    const NOW: Micros = Micros(1_800_000_000_000_000);
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        Tokens::new(&TokenSettings::new(SECRET))
    }

    fn user() -> UserId {
        "123e4567-e89b-12d3-a456-426614174000".parse().unwrap()
    }

    fn issued() -> String {
        tokens().issue(user(), Role::Customer, Tier::Standard, None, NOW).unwrap()
    }

    /// A token with this header and changes to the claims, signed with `secret`.
    fn forged(
        header: &serde_json::Value,
        change: impl FnOnce(&mut serde_json::Value),
        secret: &str,
    ) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let payload = issued().split('.').nth(1).unwrap().to_owned();
        let mut claims: serde_json::Value =
            serde_json::from_slice(&BASE64.decode(payload).unwrap()).unwrap();
        change(&mut claims);
        let head =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(head.as_bytes());
        format!("{head}.{}", BASE64.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn a_token_lives_for_fifteen_minutes() {
        let token = issued();
        assert_eq!(tokens().verify(&token, NOW).unwrap().sub, user());
        let later = |seconds: i64| Micros(NOW.0 + seconds * 1_000_000);
        assert!(tokens().verify(&token, later(15 * 60 + LEEWAY - 1)).is_ok());
        assert_eq!(tokens().verify(&token, later(15 * 60 + LEEWAY)), Err(TokenError::Expired));
        assert_eq!(
            tokens().verify(&token, later(-60)),
            Err(TokenError::Invalid),
            "issued in the future"
        );
    }

    #[test]
    fn our_own_header_is_accepted_so_that_the_forgeries_below_fail_for_their_own_reason() {
        let good = forged(&json!({"alg": "HS256", "typ": "at+jwt"}), |_| {}, SECRET);
        assert!(tokens().verify(&good, NOW).is_ok());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let good = json!({"alg": "HS256", "typ": "at+jwt"});
        let none = forged(&json!({"alg": "none", "typ": "at+jwt"}), |_| {}, SECRET);
        let unsigned = none.rsplit_once('.').unwrap().0.to_owned() + ".";
        let cases = [
            ("alg none", none),
            ("alg none without signature", unsigned),
            ("alg None", forged(&json!({"alg": "nOnE", "typ": "at+jwt"}), |_| {}, SECRET)),
            ("alg RS256", forged(&json!({"alg": "RS256", "typ": "at+jwt"}), |_| {}, SECRET)),
            ("alg HS512", forged(&json!({"alg": "HS512", "typ": "at+jwt"}), |_| {}, SECRET)),
            ("other secret", forged(&good, |_| {}, "another secret, another secret!!")),
            ("not an access token", forged(&json!({"alg": "HS256", "typ": "JWT"}), |_| {}, SECRET)),
            ("no type", forged(&json!({"alg": "HS256"}), |_| {}, SECRET)),
            (
                "critical extension",
                forged(&json!({"alg": "HS256", "typ": "at+jwt", "crit": ["x"]}), |_| {}, SECRET),
            ),
            (
                "long life",
                forged(&good, |claims| claims["exp"] = json!(NOW.0 / 1_000_000 + 86_400), SECRET),
            ),
            ("other issuer", forged(&good, |claims| claims["iss"] = json!("them"), SECRET)),
            ("other audience", forged(&good, |claims| claims["aud"] = json!("them"), SECRET)),
            (
                "no id",
                forged(&good, |claims| drop(claims.as_object_mut().unwrap().remove("jti")), SECRET),
            ),
            (
                "no time",
                forged(&good, |claims| drop(claims.as_object_mut().unwrap().remove("iat")), SECRET),
            ),
            ("unknown role", forged(&good, |claims| claims["role"] = json!("root"), SECRET)),
            ("not a token", "a.b.c".to_owned()),
            ("empty", String::new()),
            ("huge", "x".repeat(LONGEST + 1)),
        ];
        for (what, token) in cases {
            assert_eq!(tokens().verify(&token, NOW), Err(TokenError::Invalid), "{what}");
        }
    }
}
