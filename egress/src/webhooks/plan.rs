//! What a batch of records asks of the deliveries. Reads no log and no
//! database.

use read_model::deliveries::{DeliveryChange, NewDelivery};
use schemas::Micros;
use schemas::messages::{UserFeedEntry, WebhookCommand, WebhookCommandKind};

use super::endpoints::Endpoints;
use super::{WebhookSettings, body};

/// An event with the trace it belongs to.
pub(super) type Traced = (UserFeedEntry, Option<String>);

/// One delivery per event and endpoint that wants it.
pub(super) fn events(
    feed: &[Traced],
    endpoints: &Endpoints,
    settings: &WebhookSettings,
    now: Micros,
) -> Vec<DeliveryChange> {
    let mut changes = Vec::new();
    for (entry, trace) in feed {
        let event = &entry.event;
        let name = event.event_type.public_name();
        let wanting = endpoints.wanting(event);
        if wanting.is_empty() {
            continue;
        }
        let body = body::of_event(entry);
        changes.extend(wanting.iter().map(|endpoint| {
            let webhook_id = endpoint.registered.webhook_id.clone();
            DeliveryChange::Insert(Box::new(NewDelivery {
                delivery_id: body::delivery_id(&webhook_id, &event.event_id),
                webhook_id,
                event_id: event.event_id.clone(),
                event_type: name.to_owned(),
                order_id: Some(event.order_id),
                sequence: event.version,
                ordered: endpoint.registered.ordered,
                body: body.clone(),
                traceparent: trace.clone(),
                created_at: now.0,
                next_attempt_at: first_attempt(settings, now),
            }))
        }));
    }
    changes
}

fn first_attempt(settings: &WebhookSettings, now: Micros) -> i64 {
    let delay = settings.schedule.delay(0, (settings.chance)()).unwrap_or_default();
    now.0.saturating_add(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX))
}

/// What an owner asked for; none where the command lacks its part.
pub(super) fn command(command: &WebhookCommand, now: Micros) -> Option<DeliveryChange> {
    let webhook_id = command.webhook_id.clone();
    match command.kind {
        WebhookCommandKind::Test => Some(DeliveryChange::Insert(Box::new(NewDelivery {
            delivery_id: body::delivery_id(&webhook_id, &command.command_id),
            body: body::of_test(&webhook_id, command.created_at),
            webhook_id,
            event_id: command.command_id.clone(),
            event_type: "webhook.test".to_owned(),
            order_id: None,
            sequence: 0,
            ordered: false,
            traceparent: None,
            created_at: now.0,
            next_attempt_at: now.0,
        }))),
        WebhookCommandKind::Retry => {
            let delivery_id = command.delivery_id.as_deref()?.parse().ok()?;
            Some(DeliveryChange::Retry { webhook_id, delivery_id, now: now.0 })
        }
        WebhookCommandKind::Recover => {
            Some(DeliveryChange::Recover { webhook_id, since: command.since?.0, now: now.0 })
        }
    }
}
