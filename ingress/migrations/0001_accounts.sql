-- Accounts and sessions: the ingress's own tables. Nothing here is on the log.
-- One text for PostgreSQL and SQLite: ids as text, times as microseconds since 1970.
CREATE TABLE users (
    user_id       TEXT PRIMARY KEY NOT NULL,
    -- Lower case.
    email         TEXT NOT NULL UNIQUE,
    -- PHC string, argon2id.
    password_hash TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('customer', 'admin')),
    tier          TEXT NOT NULL CHECK (tier IN ('free', 'standard', 'premium', 'enterprise')),
    created_at    BIGINT NOT NULL
);

-- One login; all refresh tokens that came of it are its family.
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Each refresh token ever issued to a living session, by its SHA-256.
CREATE TABLE refresh_tokens (
    token_hash TEXT PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    issued_at  BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- Access tokens that died before their time: those of this session or user
-- issued at or before `not_after`. Rows go when the last such token expires.
CREATE TABLE revoked_tokens (
    subject    TEXT PRIMARY KEY NOT NULL,
    not_after  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
