-- Links, who may make them, and their clicks.

-- A deleted link keeps its row: its code is never given to anybody else, and its version only grows.
-- Its target may go.
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
) WITH (fillfactor = 85); -- room for a new `uses` beside the old one, which then needs no new index entry

CREATE INDEX links_newest ON links (created_at DESC, code DESC) WHERE NOT deleted;
CREATE INDEX links_newest_of_owner ON links (owner, created_at DESC, code DESC) WHERE NOT deleted;
CREATE INDEX links_expiring ON links (expires_at) WHERE NOT deleted AND expires_at IS NOT NULL;

-- Who may use the API; of a key only its hash is known here.
CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    name       text        NOT NULL,
    hash       bytea       NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- What was answered to a create request, so that the same request again gets the same answer.
CREATE TABLE idempotency_keys (
    owner       text COLLATE "C" NOT NULL DEFAULT '', -- an API key's id; '': nobody's
    key         text COLLATE "C",
    fingerprint bytea            NOT NULL,
    code        text COLLATE "C",
    answer      text,
    created_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Every click once: the primary key is what makes a second delivery harmless, since a click's time
-- is fixed with its id. A day is a partition, which the worker makes and which ends whole.
CREATE TABLE clicks (
    click_id   text COLLATE "C",
    code       text COLLATE "C" NOT NULL,
    clicked_at timestamptz,
    referrer   text             NOT NULL DEFAULT '',
    bot        boolean          NOT NULL DEFAULT false,
    PRIMARY KEY (click_id, clicked_at)
) PARTITION BY RANGE (clicked_at);

-- Clicks that the worker has yet to count, in the order of their writing.
CREATE TABLE click_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    click_id   text COLLATE "C" NOT NULL,
    code       text COLLATE "C" NOT NULL,
    clicked_at timestamptz      NOT NULL,
    referrer   text             NOT NULL,
    bot        boolean          NOT NULL,
    visitor    integer          NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- The counts that the statistics are read from, moved in the transaction that stores the clicks.
-- They are changed often, so there is room for that on every page.
CREATE TABLE link_clicks (
    code      text COLLATE "C" PRIMARY KEY,
    total     bigint  NOT NULL,
    bots      bigint  NOT NULL,
    referrers integer NOT NULL DEFAULT 0 -- how many rows of referrer_clicks
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

-- A HyperLogLog of each link's visitors, with a row for each register that is not empty. It holds
-- the highest rank seen, so a visitor who comes again changes nothing, nor does a second delivery.
CREATE TABLE link_visitors (
    code     text COLLATE "C",
    register smallint,
    rank     smallint NOT NULL,
    PRIMARY KEY (code, register)
) WITH (fillfactor = 85);

-- What all processes of this deployment share.
CREATE TABLE deployment (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
-- 244 bits from the server's secure random numbers; `pgcrypto` would give them, but needs to be there.
INSERT INTO deployment (name, value) VALUES (
    'visitor_key', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
