-- What is to be sent, byte for byte, and how the attempts went.
CREATE TABLE webhook_deliveries (
    delivery_id     uuid PRIMARY KEY,
    webhook_id      text NOT NULL,
    event_id        text NOT NULL,
    event_type      text NOT NULL,
    order_id        uuid,
    sequence        bigint NOT NULL,
    ordered         boolean NOT NULL,
    body            bytea NOT NULL,
    traceparent     text,
    status          text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- Attempts of the schedule used so far; a recovery begins again at 0.
    step            integer NOT NULL DEFAULT 0,
    -- [{at, status_code, duration_ms, error}], oldest first.
    attempts        json NOT NULL DEFAULT '[]',
    created_at      bigint NOT NULL,
    next_attempt_at bigint,
    lease_owner     text,
    lease_until     bigint NOT NULL DEFAULT 0
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (webhook_id, order_id, sequence) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (webhook_id, created_at DESC, delivery_id DESC);
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (created_at) WHERE status <> 'pending';
