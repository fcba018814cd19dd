"""The data tier: replication lag, databases, connection pools, cache, click stream and worker.

Metric names are common to postgres_exporter 0.17 and 0.20, and to redis_exporter 1.69 and 1.88.
"""

from chaos.runtimes import topology
from dashboards.panel import RATE, Dashboard, Panel, Query, Section, p50_and_p99

SLOW = 5  # seconds between two scrapes of an exporter
WEB = 'job="web"'  # the worker has a pool, too
POSTGRES = 'part=~"$part", datname="linkstorm"'


def _rate_by_part(metric: str, legend: str) -> Query:
    expr = f"sum by (part) (rate({metric}{{{POSTGRES}}}[{RATE}]))"
    return Query(expr, legend, SLOW)


def _locks(kind: str, modes: str) -> Query:
    expr = f'sum by (part) (pg_locks_count{{{POSTGRES}, mode=~"{modes}"}})'
    return Query(expr, f"{{{{part}}}} {kind}", SLOW)


def _connections(legend: str, states: str) -> Query:
    expr = f'sum by (part) (pg_stat_activity_count{{{POSTGRES}, state=~"{states}"}})'
    return Query(expr, f"{{{{part}}}} {legend}", SLOW)


REPLICATION = Section(
    "Replication",
    [
        Panel(
            "Lag in bytes",
            "Log of the primary that the replica lacks. Not received: from the slot, which has "
            "data even while the link `replication` is cut. Not replayed: from the connection, "
            "gone then. A slope is a cut; a plateau is a slow link.",
            "bytes",
            [
                Query("replication:lag_bytes", "not received", SLOW),
                Query(
                    "max(pg_stat_replication_pg_wal_lsn_diff)", "not replayed", SLOW, dashed=True
                ),
            ],
            width=12,
        ),
        Panel(
            "Lag in seconds",
            "Time since the replica replayed anything, while there is more to replay; zero when it "
            "has all. Redirects read the replica: this is how old their answer may be.",
            "s",
            [Query("replication:lag_seconds", "replica", SLOW)],
            width=12,
        ),
    ],
)

DATABASES = Section(
    "Postgres",
    [
        Panel(
            "Databases that answer",
            "1 while the exporter can query the database. In a failover primary goes to 0; "
            "redirects go on, writes do not.",
            "none",
            [Query('min by (part) (pg_up{part=~"$part"})', "{{part}}", SLOW)],
        ),
        Panel(
            "Connections",
            "Busy or idle, of the 200 that a server allows. In a herd, busy ones climb "
            "to the pools' size and stay there. Scraped every 5 s, so short bursts are missed.",
            "none",
            [_connections("busy", "active|idle in.*"), _connections("idle", "idle")],
        ),
        Panel(
            "Locks held",
            "By mode: reading locks block only schema changes, writing locks block no readers, "
            "blocking locks make others wait. Blocking locks above zero for long: look for a "
            "statement that does not end.",
            "none",
            [
                _locks("reading", "accesssharelock|rowsharelock|sireadlock"),
                _locks("writing", "rowexclusivelock"),
                _locks("blocking", "share.*|exclusivelock|accessexclusivelock"),
            ],
        ),
        Panel(
            "Transactions",
            "Committed and rolled back a second. The replica's commits are redirects that missed "
            "the cache, so they follow a herd; the primary's are writes and the worker's batches.",
            "ops",
            [
                _rate_by_part("pg_stat_database_xact_commit", "{{part}} committed"),
                _rate_by_part("pg_stat_database_xact_rollback", "{{part}} rolled back"),
            ],
        ),
        Panel(
            "Blocks found in memory",
            "Share of the blocks that needed no read from the operating system. Near 100 % here; "
            "lower after a restart, until memory is warm again.",
            "percentunit",
            [
                Query(
                    f"sum by (part) (rate(pg_stat_database_blks_hit{{{POSTGRES}}}[{RATE}]))"
                    " / clamp_min("
                    f"sum by (part) (rate(pg_stat_database_blks_hit{{{POSTGRES}}}[{RATE}]))"
                    f" + sum by (part) (rate(pg_stat_database_blks_read{{{POSTGRES}}}[{RATE}]))"
                    ", 1e-9)",
                    "{{part}}",
                    SLOW,
                )
            ],
        ),
        Panel(
            "Rows changed",
            "Inserted, updated and deleted a second. Inserts on the primary are clicks: none while "
            "requests go on means that the worker is stuck.",
            "ops",
            [
                _rate_by_part("pg_stat_database_tup_inserted", "{{part}} inserted"),
                _rate_by_part("pg_stat_database_tup_updated", "{{part}} updated"),
                _rate_by_part("pg_stat_database_tup_deleted", "{{part}} deleted"),
            ],
        ),
    ],
)

POOLS = Section(
    "Connection pools of the web processes",
    [
        Panel(
            "Wait for a connection",
            "Time until a pool hands a connection out. Microseconds in health; in a herd the p99 "
            "nears the query's time, as requests queue for connections.",
            "s",
            p50_and_p99("shortener_pool_wait_seconds", "db", WEB),
            width=12,
        ),
        Panel(
            "Connections of the pools",
            "Used ones touch the size of the pools in a herd; none at all, used or idle, while a "
            "database or its link is down.",
            "none",
            [
                Query(
                    f'sum by (db) (shortener_pool_connections{{{WEB}, state="{state}"}})',
                    f"{{{{db}}}} {state}",
                    dashed=state == "idle",
                )
                for state in ("used", "idle")
            ],
            width=12,
        ),
    ],
)

REDIS = Section(
    "Redis: cache and queue",
    [
        Panel(
            "Memory",
            "Used, and the limit if there is one (0: none). At the limit keys are evicted, and the "
            "queue shares it: a stream that grows pushes the cache out.",
            "bytes",
            [
                Query("redis_memory_used_bytes", "used", SLOW),
                Query("redis_memory_max_bytes", "limit", SLOW, dashed=True),
            ],
        ),
        Panel(
            "Commands",
            "Processed a second. A fix that sends more commands per miss shows its cost here.",
            "ops",
            [Query(f"rate(redis_commands_processed_total[{RATE}])", "commands", SLOW)],
        ),
        Panel(
            "Keys found",
            "Share of the key reads that found their key. A drop to zero and back is an expiry of "
            "the hot key, or a flush; after a restart it climbs from zero.",
            "percentunit",
            [
                Query(
                    f"rate(redis_keyspace_hits_total[{RATE}]) / clamp_min("
                    f"rate(redis_keyspace_hits_total[{RATE}])"
                    f" + rate(redis_keyspace_misses_total[{RATE}]), 1e-9)",
                    "found",
                    SLOW,
                )
            ],
        ),
        Panel(
            "Keys expired and evicted",
            "Expired: the TTL ended, which starts a herd. Evicted: memory was short, which should "
            "never happen here.",
            "ops",
            [
                Query(f"rate(redis_expired_keys_total[{RATE}])", "expired", SLOW),
                Query(f"rate(redis_evicted_keys_total[{RATE}])", "evicted", SLOW),
            ],
        ),
        Panel(
            "Clients",
            "Connected, and waiting in a blocking read (the worker, while no click comes). A "
            "sawtooth: clients lose their connections and reconnect.",
            "none",
            [
                Query("redis_connected_clients", "connected", SLOW),
                Query("redis_blocked_clients", "waiting", SLOW, dashed=True),
            ],
        ),
    ],
)

CLICKS = Section(
    "Click stream and worker",
    [
        Panel(
            "Click stream backlog",
            "Entries of the stream that the worker has not finished (an entry holds several "
            "clicks). A ramp: the worker, its database or a link is down; the fall after it shows "
            "how fast it catches up. A gap: Redis did not answer.",
            "none",
            [Query("sum(shortener_stream_lag_entries)", "entries")],
        ),
        Panel(
            "Age of the oldest click in the backlog",
            "The lag of the statistics. It climbs one second a second while nothing is read from "
            "the stream. The outbox, in the primary, is used in click mode outbox only.",
            "s",
            [
                Query("max(shortener_stream_lag_seconds)", "in the stream"),
                Query("max(shortener_outbox_lag_seconds)", "in the outbox", dashed=True),
            ],
            limit=5,
        ),
        Panel(
            "Clicks the worker handled",
            "Counted; duplicate (delivered again after a crash, and not counted twice); "
            "dead-lettered (unreadable or refused by the database: see the stream `clicks:dead`).",
            "cps",
            [
                Query(f"sum(rate(shortener_clicks_counted_total[{RATE}]))", "counted"),
                Query(f"sum(rate(shortener_clicks_duplicate_total[{RATE}]))", "duplicate"),
                Query(f"sum(rate(shortener_clicks_dead_lettered_total[{RATE}]))", "dead-lettered"),
            ],
        ),
    ],
)

dashboard = Dashboard(
    name="data-tier",
    title="linkstorm: Data tier",
    about="Primary, replica, Redis and the click stream: load, replication lag and backlog.",
    parts="pg_up",
    part_names=tuple(topology.ROLES.values()),
    sections=[REPLICATION, DATABASES, POOLS, REDIS, CLICKS],
)
