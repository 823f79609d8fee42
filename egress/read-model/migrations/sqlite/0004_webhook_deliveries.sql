-- What is to be sent, byte for byte, and how the attempts went.
CREATE TABLE webhook_deliveries (
    delivery_id     BLOB PRIMARY KEY NOT NULL,
    webhook_id      TEXT NOT NULL,
    event_id        TEXT NOT NULL,
    event_type      TEXT NOT NULL,
    order_id        BLOB,
    sequence        INTEGER NOT NULL,
    ordered         BOOLEAN NOT NULL,
    body            BLOB NOT NULL,
    traceparent     TEXT,
    status          TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- Attempts of the schedule used so far; a recovery begins again at 0.
    step            INTEGER NOT NULL DEFAULT 0,
    -- [{at, status_code, duration_ms, error}], oldest first.
    attempts        TEXT NOT NULL DEFAULT '[]',
    created_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    lease_owner     TEXT,
    lease_until     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (webhook_id, order_id, sequence) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (webhook_id, created_at DESC, delivery_id DESC);
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (created_at) WHERE status <> 'pending';
