-- Orders as callers see them (R247–R257) and how each got there.
CREATE TABLE orders (
    order_id           uuid PRIMARY KEY,
    user_id            uuid NOT NULL,
    status             text NOT NULL DEFAULT 'pending' CHECK (status IN
        ('pending', 'validated', 'processing', 'paid', 'fulfilled', 'shipped', 'delivered', 'cancelled', 'failed')),
    items              jsonb NOT NULL,
    total_amount       numeric NOT NULL,
    currency           char(3) NOT NULL,
    shipping_address   jsonb NOT NULL,
    payment_method     varchar(50) NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    version            bigint NOT NULL,
    payment_status     text NOT NULL,
    fulfillment_status text NOT NULL,
    -- The user's feed number of the order's first event: order of arrival.
    arrival            bigint NOT NULL,
    -- The user's feed number of the event that made this version.
    feed_number        bigint NOT NULL,
    -- The whole order as the interfaces show it, text kept as written.
    document           json NOT NULL
);
CREATE INDEX orders_by_user ON orders (user_id, created_at DESC, arrival DESC, order_id DESC);
CREATE INDEX orders_by_time ON orders (created_at DESC, arrival DESC, order_id DESC);
CREATE INDEX orders_open ON orders (updated_at) WHERE status NOT IN ('delivered', 'cancelled', 'failed');

CREATE TABLE order_timeline (
    order_id      uuid NOT NULL,
    version       bigint NOT NULL,
    user_id       uuid NOT NULL,
    event_id      text NOT NULL,
    event_type    text NOT NULL,
    status        text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    actor_type    text NOT NULL,
    actor_id      text NOT NULL,
    reason_code   text,
    reason_detail text,
    PRIMARY KEY (order_id, version)
);

-- How far each user's feed is projected: the offset a snapshot stands for.
CREATE TABLE user_feed_position (
    user_id uuid PRIMARY KEY,
    number  bigint NOT NULL
);
