//! Webhook endpoints and requests to the dispatcher.

use serde::{Deserialize, Serialize};

use crate::{Micros, UserId};

/// Key: webhook, topic `webhook_endpoints` (compacted); tombstone = deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// Identity (UUID).
    pub webhook_id: String,
    /// Whose orders it sees.
    pub user_id: UserId,
    /// The owner is an administrator: sees everybody's orders.
    pub all_users: bool,
    /// Where to POST.
    pub url: String,
    /// Filters: names, `order.*` or `*`.
    pub events: Vec<String>,
    /// The owner's words.
    pub description: Option<String>,
    /// Per-order ordering instead of none.
    pub ordered: bool,
    /// Signing secrets, newest first, sealed by `DATA_ENCRYPTION_KEY`
    /// (XChaCha20-Poly1305, base64).
    pub sealed_secrets: Vec<String>,
    /// Extra headers as name and value, values sealed likewise.
    pub sealed_headers: Option<String>,
    /// False = no deliveries.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// When it was registered.
    pub created_at: Micros,
}

/// What the dispatcher is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookCommandKind {
    /// Send a `webhook.test`.
    Test,
    /// Try one delivery again.
    Retry,
    /// Send again what failed since `since`.
    Recover,
}

/// Key: webhook, topic `webhook_commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCommand {
    /// Unique per request.
    pub command_id: String,
    /// Which webhook.
    pub webhook_id: String,
    /// What to do.
    pub kind: WebhookCommandKind,
    /// Which delivery, for `retry`.
    pub delivery_id: Option<String>,
    /// From when, for `recover`.
    pub since: Option<Micros>,
    /// When it was asked.
    pub created_at: Micros,
}
