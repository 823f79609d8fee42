//! The registered endpoints, as the compacted topic `webhook_endpoints` has
//! them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use read_model::seal::Sealer;
use schemas::messages::{OrderEvent, WebhookEndpoint};

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
    pub(super) fn wants(&self, event: &OrderEvent) -> bool {
        let registered = &self.registered;
        let name = event.event_type.public_name();
        registered.enabled
            && (registered.all_users || (registered.user_id == event.user_id && !is_silent(event)))
            && registered.created_at <= event.occurred_at
            && registered.events.iter().any(|filter| matches(filter, name))
    }
}

/// True where an administrator called the order off without telling the
/// customer.
fn is_silent(event: &OrderEvent) -> bool {
    event.cancel.as_ref().is_some_and(|terms| terms.notify_customer == Some(false))
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
pub(super) struct Endpoints {
    known: RwLock<HashMap<String, Arc<Endpoint>>>,
    /// Endpoints that answered 410, with the URL that did.
    gone: Mutex<BTreeMap<String, String>>,
}

impl Endpoints {
    fn known(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Endpoint>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets or removes (none) in one step; `whole` says that nothing else
    /// exists. Returns the ids that may have changed.
    pub(super) fn take_over(
        &self,
        latest: HashMap<String, Option<Arc<Endpoint>>>,
        whole: bool,
    ) -> BTreeSet<String> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed: BTreeSet<String> = latest.keys().cloned().collect();
        if whole {
            changed.extend(known.drain().map(|(id, _)| id));
        }
        for (id, endpoint) in latest {
            match endpoint {
                Some(endpoint) => known.insert(id, endpoint),
                None => known.remove(&id),
            };
        }
        changed
    }

    /// The endpoint answered 410: the dispatcher switches it off.
    pub(super) fn answered_gone(&self, endpoint: &Endpoint) {
        let registered = &endpoint.registered;
        self.gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(registered.webhook_id.clone(), registered.url.clone());
    }

    /// What [`Self::answered_gone`] was told since the last call.
    pub(super) fn take_gone(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, webhook_id: &str) -> Option<Arc<Endpoint>> {
        self.known().get(webhook_id).map(Arc::clone)
    }

    pub(super) fn wanting(&self, event: &OrderEvent) -> Vec<Arc<Endpoint>> {
        self.known().values().filter(|endpoint| endpoint.wants(event)).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use schemas::Micros;
    use schemas::messages::CancelOrder;
    use schemas::samples;

    use super::*;

    #[test]
    fn a_silent_cancellation_is_for_administrators_only() {
        let of = |all_users| Endpoint {
            registered: WebhookEndpoint {
                all_users,
                enabled: true,
                created_at: Micros(0),
                ..samples::webhook_endpoint()
            },
            secrets: Vec::new(),
            headers: Vec::new(),
        };
        let (customer, administrator) = (of(false), of(true));
        for (notify_customer, told) in [(Some(false), false), (Some(true), true), (None, true)] {
            let cancel = Some(CancelOrder { notify_customer, ..CancelOrder::default() });
            let event = OrderEvent { cancel, ..samples::order_event(1) };
            assert_eq!(customer.wants(&event), told, "{notify_customer:?}");
            assert!(administrator.wants(&event));
        }
    }

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
