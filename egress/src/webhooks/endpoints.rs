//! The registered endpoints, as the compacted topic `webhook_endpoints` has
//! them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use read_model::seal::Sealer;
use schemas::UserId;
use schemas::messages::WebhookEndpoint;

use super::signature::Secret;

/// An endpoint ready for use.
pub(super) struct Endpoint {
    pub(super) registered: WebhookEndpoint,
    /// Newest first; empty where none could be opened.
    pub(super) secrets: Vec<Secret>,
    pub(super) headers: Vec<(String, String)>,
}

impl Endpoint {
    /// Opens what is sealed. An endpoint whose secrets don't open stays known,
    /// and its attempts fail with that reason.
    pub(super) fn open(registered: WebhookEndpoint, sealer: &Sealer) -> Self {
        let id = registered.webhook_id.as_str();
        let text = |sealed: &String| -> Option<String> {
            let plain = sealer
                .open(id, sealed)
                .map_err(|error| tracing::error!(webhook_id = id, %error, "webhook secret"));
            String::from_utf8(plain.ok()?).ok()
        };
        let secrets = registered
            .sealed_secrets
            .iter()
            .filter_map(text)
            .filter_map(|secret| Secret::parse(&secret).ok())
            .collect();
        let headers: HashMap<String, String> = registered
            .sealed_headers
            .as_ref()
            .and_then(text)
            .and_then(|headers| serde_json::from_str(&headers).ok())
            .unwrap_or_default();
        let mut headers: Vec<_> = headers.into_iter().collect();
        headers.sort();
        Self { registered, secrets, headers }
    }

    /// True where this endpoint gets this event.
    pub(super) fn wants(&self, user: UserId, event_type: &str, occurred_at: i64) -> bool {
        let registered = &self.registered;
        registered.enabled
            && (registered.all_users || registered.user_id == user)
            && registered.created_at.0 <= occurred_at
            && registered.events.iter().any(|filter| matches(filter, event_type))
    }
}

/// Filters are names, the alias of `order.paid`, `order.*` and `*`.
fn matches(filter: &str, event_type: &str) -> bool {
    match filter {
        "*" => true,
        "order.payment_processed" => event_type == "order.paid",
        _ => filter.strip_suffix('*').map_or(filter == event_type, |prefix| {
            prefix.ends_with('.') && event_type.starts_with(prefix)
        }),
    }
}

/// All endpoints, shared by the dispatcher (writes) and the sender (reads).
#[derive(Default)]
pub(super) struct Endpoints(RwLock<HashMap<String, Arc<Endpoint>>>);

impl Endpoints {
    /// Sets or removes (none) one. True where deliveries that are waiting will
    /// not be wanted any more.
    pub(super) fn set(&self, webhook_id: &str, endpoint: Option<Endpoint>) -> bool {
        let mut endpoints = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let off = endpoint.as_ref().is_none_or(|endpoint| !endpoint.registered.enabled);
        let before = match endpoint {
            Some(endpoint) => endpoints.insert(webhook_id.to_owned(), Arc::new(endpoint)),
            None => endpoints.remove(webhook_id),
        };
        off && before.is_none_or(|before| before.registered.enabled)
    }

    pub(super) fn get(&self, webhook_id: &str) -> Option<Arc<Endpoint>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(webhook_id).map(Arc::clone)
    }

    pub(super) fn wanting(
        &self,
        user: UserId,
        event_type: &str,
        occurred_at: i64,
    ) -> Vec<Arc<Endpoint>> {
        let endpoints = self.0.read().unwrap_or_else(PoisonError::into_inner);
        endpoints
            .values()
            .filter(|endpoint| endpoint.wants(user, event_type, occurred_at))
            .map(Arc::clone)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (filter, event, wanted) in [
            ("*", "order.paid", true),
            ("order.*", "order.paid", true),
            ("order.*", "stock.low", false),
            ("order.paid", "order.paid", true),
            ("order.payment_processed", "order.paid", true),
            ("order.pai", "order.paid", false),
            ("order.pa*", "order.paid", false),
        ] {
            assert_eq!(matches(filter, event), wanted, "{filter} {event}");
        }
    }
}
