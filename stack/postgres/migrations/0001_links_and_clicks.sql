-- Links, API keys and clicks.

-- A deleted link keeps its row: its code is never given again, and its version only grows. Its target
-- may be emptied.
CREATE TABLE links (
    code       text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    url        text        NOT NULL CHECK (length(url) <= 2048 AND (deleted OR url <> '')),
    version    bigint      NOT NULL DEFAULT 1,
    disabled   boolean     NOT NULL DEFAULT false,
    deleted    boolean     NOT NULL DEFAULT false,
    expires_at timestamptz,
    max_clicks bigint CHECK (max_clicks > 0),
    uses       bigint      NOT NULL DEFAULT 0 CHECK (uses >= 0), -- of a link with max_clicks
    owner      text COLLATE "C",                                 -- an API key's id
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 85); -- room for HOT updates of `uses`

CREATE INDEX links_newest ON links (created_at DESC, code DESC) WHERE NOT deleted;
CREATE INDEX links_newest_of_owner ON links (owner, created_at DESC, code DESC) WHERE NOT deleted;
CREATE INDEX links_expiring ON links (expires_at) WHERE NOT deleted AND expires_at IS NOT NULL;

-- Keys of the API, stored as hashes.
CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    name       text        NOT NULL,
    hash       bytea       NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Answers to create requests, so that a retried request gets the same answer.
CREATE TABLE idempotency_keys (
    owner       text COLLATE "C" NOT NULL DEFAULT '', -- an API key's id, or ''
    key         text COLLATE "C",
    fingerprint bytea            NOT NULL,
    code        text COLLATE "C",
    answer      text,
    created_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Single clicks: the primary key detects redelivery, since a click's time is fixed with its id. Workers
-- create and drop a partition for each day.
CREATE TABLE clicks (
    click_id   text COLLATE "C",
    code       text COLLATE "C" NOT NULL,
    clicked_at timestamptz,
    referrer   text             NOT NULL DEFAULT '',
    bot        boolean          NOT NULL DEFAULT false,
    PRIMARY KEY (click_id, clicked_at)
) PARTITION BY RANGE (clicked_at);

-- Clicks to be counted by a worker, in the order of insertion.
CREATE TABLE click_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    click_id   text COLLATE "C" NOT NULL,
    code       text COLLATE "C" NOT NULL,
    clicked_at timestamptz      NOT NULL,
    referrer   text             NOT NULL,
    bot        boolean          NOT NULL,
    visitor    integer          NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Counts for the statistics, updated in the transaction that stores the clicks; the fill factor leaves
-- room for HOT updates.
CREATE TABLE link_clicks (
    code      text COLLATE "C" PRIMARY KEY,
    total     bigint  NOT NULL,
    bots      bigint  NOT NULL,
    referrers integer NOT NULL DEFAULT 0 -- number of rows in referrer_clicks
) WITH (fillfactor = 70);
CREATE TABLE day_clicks (
    code  text COLLATE "C",
    day   date,
    total bigint NOT NULL,
    bots  bigint NOT NULL,
    PRIMARY KEY (code, day)
) WITH (fillfactor = 70);
CREATE TABLE referrer_clicks (
    code     text COLLATE "C",
    referrer text,
    total    bigint NOT NULL,
    PRIMARY KEY (code, referrer)
) WITH (fillfactor = 70);

-- A HyperLogLog of each link's visitors, with a row for each register that is not empty. It holds the
-- highest rank seen, so neither a returning visitor nor a redelivery changes it.
CREATE TABLE link_visitors (
    code     text COLLATE "C",
    register smallint,
    rank     smallint NOT NULL,
    PRIMARY KEY (code, register)
) WITH (fillfactor = 85);

-- Values shared by all processes of the deployment.
CREATE TABLE deployment (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
-- 244 random bits of the server; `pgcrypto` would have to be installed.
INSERT INTO deployment (name, value) VALUES (
    'visitor_key', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
