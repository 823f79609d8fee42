-- Products, how many there are, and what was earned.
CREATE TABLE products (
    product_id  TEXT PRIMARY KEY NOT NULL,
    name        TEXT NOT NULL,
    price_minor INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    command_id  TEXT NOT NULL
);

CREATE TABLE stock_levels (
    product_id TEXT NOT NULL,
    warehouse  TEXT NOT NULL,
    on_hand    INTEGER NOT NULL,
    held       INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (product_id, warehouse)
);

CREATE TABLE revenue_by_minute (
    currency      TEXT NOT NULL,
    window_start  INTEGER NOT NULL,
    revenue_minor INTEGER NOT NULL,
    orders        INTEGER NOT NULL,
    PRIMARY KEY (currency, window_start)
);
