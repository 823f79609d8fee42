//! `orders token`: access tokens without a login, for whoever holds the secret.

use anyhow::{Result, anyhow};
use ingress::auth::start::GUIDE_CUSTOMER;
use ingress::auth::{Role, Tokens};
use ingress::limits::Tier;
use schemas::UserId;
use uuid::Uuid;

use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::secrets::Secrets;

/// Who the token is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    Guide,
    Admin,
    User(Uuid),
}

/// The token.
pub(crate) fn token(config: &Config, whom: For) -> Result<String> {
    let tokens = Tokens::new(&Secrets::open(config)?.tokens(config));
    match whom {
        For::Guide => issue(&tokens, GUIDE_CUSTOMER, Role::Customer, Tier::Standard),
        For::Admin => admin(&tokens),
        For::User(id) => issue(&tokens, UserId::new(id), Role::Customer, Tier::Standard),
    }
}

/// Prints it; as JSON the way a login answers.
pub(crate) fn print(config: &Config, whom: For, json: bool) -> Result<()> {
    let token = token(config, whom)?;
    if json {
        let said = serde_json::json!({
            "access_token": token, "token_type": "bearer", "expires_in": config.jwt_minutes * 60,
        });
        say!("{said}");
    } else {
        say!("{token}");
    }
    Ok(())
}

/// An administrator without limits, for our own commands.
pub(crate) fn admin(tokens: &Tokens) -> Result<String> {
    issue(tokens, UserId::new(Uuid::nil()), Role::Admin, Tier::Enterprise)
}

fn issue(tokens: &Tokens, user: UserId, role: Role, tier: Tier) -> Result<String> {
    tokens.issue(user, role, tier, None, parts::now()).map_err(|error| anyhow!("{error}"))
}
