//! Who is asking: accounts, sessions, tokens.
//!
//! Invariants: password hashes and refresh tokens never leave the database and
//! never enter the log; an access token is only as old as its session allows;
//! what an unknown user sees when logging in is what a known one with a wrong
//! password sees, in content and in time.
//!
//! | file | what |
//! |---|---|
//! | `tokens` | access tokens: JWT, HS256, 15 minutes |
//! | `revocations` | access tokens that died before their time |
//! | `passwords` | argon2id, off the async threads |
//! | `accounts`, `sessions` | users and refresh families in the database |
//! | `caller` | the layer that reads the token, and what handlers ask for |
//! | `start` | the first administrator, development's customer |
//! | `routes` | the HTTP resource |

pub mod accounts;
pub mod caller;
pub(crate) mod database;
pub mod passwords;
pub mod revocations;
pub mod routes;
pub mod secrets;
pub mod sessions;
pub mod start;
pub mod tokens;
pub mod verifier;

pub use accounts::{Accounts, Role, User};
pub use caller::{Admin, Authentication, Caller};
pub use passwords::{PasswordSettings, Passwords};
pub use revocations::Revocations;
pub use secrets::{StartError, check_secrets};
pub use sessions::Sessions;
pub use tokens::{Claims, TokenError, TokenSettings, Tokens};
pub use verifier::Verifier;

pub(crate) use crate::http::error::database_failed as database_error;
