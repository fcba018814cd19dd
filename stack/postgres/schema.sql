-- The shortener's tables; safe to apply again and again.

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- A deleted link keeps its row: its code is never given to anybody else, and its version only grows.
CREATE TABLE IF NOT EXISTS links (
    code       text COLLATE "C" PRIMARY KEY,
    url        text        NOT NULL,
    version    bigint      NOT NULL DEFAULT 1,
    disabled   boolean     NOT NULL DEFAULT false,
    deleted    boolean     NOT NULL DEFAULT false,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What was answered to a create request, so that the same request again gets the same answer.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key         text COLLATE "C" PRIMARY KEY,
    fingerprint bytea       NOT NULL,
    code        text COLLATE "C",
    answer      text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idempotency_keys_created_at ON idempotency_keys (created_at);

-- Every click once: the primary key is what makes a second delivery harmless.
CREATE TABLE IF NOT EXISTS clicks (
    click_id   text COLLATE "C" PRIMARY KEY,
    code       text COLLATE "C" NOT NULL,
    clicked_at timestamptz      NOT NULL,
    referrer   text             NOT NULL DEFAULT '',
    bot        boolean          NOT NULL DEFAULT false
);

-- The counts that the statistics are read from, moved in the transaction that stores the clicks.
CREATE TABLE IF NOT EXISTS link_clicks (
    code  text COLLATE "C" PRIMARY KEY,
    total bigint NOT NULL,
    bots  bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS day_clicks (
    code  text COLLATE "C",
    day   date,
    total bigint NOT NULL,
    bots  bigint NOT NULL,
    PRIMARY KEY (code, day)
);
CREATE TABLE IF NOT EXISTS referrer_clicks (
    code     text COLLATE "C",
    referrer text,
    total    bigint NOT NULL,
    PRIMARY KEY (code, referrer)
);
