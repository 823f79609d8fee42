-- Products, how many there are, and what was earned.
CREATE TABLE products (
    product_id  text PRIMARY KEY,
    name        text NOT NULL,
    price_minor bigint NOT NULL,
    currency    char(3) NOT NULL,
    version     bigint NOT NULL,
    command_id  text NOT NULL
);

CREATE TABLE stock_levels (
    product_id text NOT NULL,
    warehouse  text NOT NULL,
    on_hand    bigint NOT NULL,
    held       bigint NOT NULL,
    version    bigint NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (product_id, warehouse)
);

CREATE TABLE revenue_by_minute (
    currency      char(3) NOT NULL,
    window_start  timestamptz NOT NULL,
    revenue_minor bigint NOT NULL,
    orders        bigint NOT NULL,
    PRIMARY KEY (currency, window_start)
);
