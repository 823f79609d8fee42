-- Orders as callers see them (R247–R257) and how each got there.
-- Ids are 16 bytes, times microseconds since 1970, money decimal text: all exact.
CREATE TABLE orders (
    order_id           BLOB PRIMARY KEY NOT NULL,
    user_id            BLOB NOT NULL,
    status             TEXT NOT NULL DEFAULT 'pending' CHECK (status IN
        ('pending', 'validated', 'processing', 'paid', 'fulfilled', 'shipped', 'delivered', 'cancelled', 'failed')),
    items              TEXT NOT NULL,
    total_amount       TEXT NOT NULL,
    currency           TEXT NOT NULL,
    shipping_address   TEXT NOT NULL,
    payment_method     TEXT NOT NULL CHECK (length(payment_method) <= 50),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    metadata           TEXT NOT NULL DEFAULT '{}',
    version            INTEGER NOT NULL,
    payment_status     TEXT NOT NULL,
    fulfillment_status TEXT NOT NULL,
    -- The user's feed number of the order's first event: order of arrival.
    arrival            INTEGER NOT NULL,
    -- The user's feed number of the event that made this version.
    feed_number        INTEGER NOT NULL,
    -- The whole order as the interfaces show it, text kept as written.
    document           TEXT NOT NULL
);
CREATE INDEX orders_by_user ON orders (user_id, created_at DESC, arrival DESC, order_id DESC);
CREATE INDEX orders_by_time ON orders (created_at DESC, arrival DESC, order_id DESC);
CREATE INDEX orders_open ON orders (updated_at) WHERE status NOT IN ('delivered', 'cancelled', 'failed');

CREATE TABLE order_timeline (
    order_id      BLOB NOT NULL,
    version       INTEGER NOT NULL,
    user_id       BLOB NOT NULL,
    event_id      TEXT NOT NULL,
    event_type    TEXT NOT NULL,
    status        TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    actor_type    TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    reason_code   TEXT,
    reason_detail TEXT,
    PRIMARY KEY (order_id, version)
);

-- How far each user's feed is projected: the offset a snapshot stands for.
CREATE TABLE user_feed_position (
    user_id BLOB PRIMARY KEY NOT NULL,
    number  INTEGER NOT NULL
);
