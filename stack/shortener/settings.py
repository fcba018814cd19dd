"""Settings of the shortener, each with its reason: read once, from the environment and from the
file named by SHORTENER_SETTINGS_FILE. The environment wins."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stack.shortener.http import public_url
from stack.shortener.infra.client_address import networks
from stack.shortener.infra.pool import Failover
from stack.shortener.infra.servers import WritableServer
from stack.shortener.infra.settings_file import SettingsFile, read_file

PREFIX = "SHORTENER_"
FILE_VARIABLE = f"{PREFIX}SETTINGS_FILE"

Listen = Annotated[str, StringConstraints(pattern=r"^[^\s:]+:\d{1,5}$")]
PostgresUrl = Annotated[str, StringConstraints(pattern=r"^postgres(ql)?://\S+$")]
PostgresUrlOrNone = Annotated[str, StringConstraints(pattern=r"^(postgres(ql)?://\S+)?$")]
RedisUrl = Annotated[str, StringConstraints(pattern=r"^rediss?://\S+$")]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
FillName = Literal["direct", "singleflight", "lock", "lease", "xfetch", "swr"]
Invalidation = Literal["delete-with-floor", "none", "delete", "double-delete"]
ReadFrom = Literal["replica-then-primary", "replica", "primary", "pinned", "lsn", "lsn-wait"]
SynchronousCommit = Literal["", "off", "local", "remote_write", "on", "remote_apply"]


class KeySettings(BaseSettings):
    """Settings of every process, and all that `migrate` and `keys` need."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    primary_url: PostgresUrl = Field(
        description="postgresql:// URL of the database for writes; it is the source of truth"
    )
    primary_timeout_s: Seconds = Field(
        2.0, description="timeout of the primary; above any healthy query, below a user's patience"
    )


class _Settings(KeySettings):
    """Settings of web and worker."""

    listen: Listen = Field(
        "127.0.0.1:8000", description="host:port to serve HTTP on; loopback, behind a balancer"
    )
    name: str = Field(
        "shortener",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="name of the process in logs, and of the worker in its consumer group; unique "
        "among workers",
    )
    queue_url: RedisUrl = Field(
        description="redis:// URL of the click stream; may be the same as the cache's"
    )
    queue_timeout_s: Seconds = Field(
        1.0, description="timeout of the click queue; longer, since no request waits for it"
    )
    migrate: bool = Field(
        True,
        description="apply schema migrations at start; if off, wait for them, for processes that "
        "may not change the schema",
    )
    replica_url: PostgresUrlOrNone = Field(
        "",
        description="postgresql:// URL of the database for redirects, and of the second server "
        "with WRITE_TO=read-write, where a worker needs it, too; may be the same as the primary's",
    )
    write_to: Literal["address", "read-write"] = Field(
        "address",
        description="server that writes go to. address: PRIMARY_URL, whichever server that leads "
        "to. read-write: that of PRIMARY_URL and REPLICA_URL which takes writes now, or if both "
        "do, the one on the higher timeline, and never one behind a timeline seen before; address, "
        "since a proxy or a name usually follows the primary",
    )
    write_connect_timeout_s: Seconds = Field(
        0.5,
        description="read-write: longest wait for each server when a connection opens; both are "
        "asked at once, so a black hole delays a new connection that long, and a slower server "
        "is not found",
    )
    pool_renewal: Literal["pinned", "renewed"] = Field(
        "renewed",
        description="what becomes of the connections to the primary once one is broken, or its "
        "server takes no writes. renewed: all are closed and opened anew, once, and so are those "
        "to a server that has been replaced (WRITE_TO=read-write). pinned: NAIVE, each is kept "
        "until it breaks, so that one to a server that was demoted refuses every write from then "
        "on; renewed, since one such connection says as much as all",
    )
    primary_lifetime_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="longest life of a connection to the primary; each ends in the second half of "
        "it, so that not all end at once. 0: none, since a renewal follows a failover sooner. "
        "With it, and an address that has moved, some connections are to the new server and some "
        "to the old one",
    )

    @field_validator("listen")
    @classmethod
    def _has_a_port(cls, value: str) -> str:
        public_url.port_number(value.rpartition(":")[2])
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @model_validator(mode="after")
    def _has_two_servers(self) -> Self:
        if self.write_to == "read-write" and not self.replica_url:
            raise ValueError(
                f"{PREFIX}WRITE_TO=read-write needs {PREFIX}REPLICA_URL, the second server"
            )
        return self

    def failover(self) -> Failover:
        """Rules for the connections to the primary; made once in a process."""
        urls = (self.primary_url, self.replica_url)
        servers = WritableServer(urls, self.write_connect_timeout_s)
        return Failover(
            servers=servers if self.write_to == "read-write" else None,
            renewed=self.pool_renewal == "renewed",
            lifetime_s=self.primary_lifetime_s,
        )


class WebSettings(_Settings):
    """Settings of a web process."""

    replica_url: PostgresUrl = Field(description=_Settings.model_fields["replica_url"].description)
    cache_url: RedisUrl = Field(
        description="redis:// or rediss:// URL of the cache; its user, password and database are "
        "used"
    )
    public_url: str = Field(
        "",
        description="start of every short link, with a path if needed; empty: the host named in "
        "the request",
    )

    read_from: ReadFrom = Field(
        "replica-then-primary",
        description="database of a look-up, for a code that the cache cannot answer. "
        "replica-then-primary: the replica, and the primary if that is unavailable, has no such "
        "link, or is behind a change that the cache knows. primary: always the primary. pinned: "
        "the primary for READ_PIN_S after the session's last write, by its X-Read-Token, else the "
        "replica alone. lsn: the replica once it has replayed that write, the primary until then. "
        "lsn-wait: the same, after waiting READ_WAIT_S for the replica. replica: NAIVE, the "
        "replica alone, so that while it lags new links are 404 (cached for NEGATIVE_TTL_S) and "
        "edits are not seen; the default needs no token, and no second trip unless the replica "
        "cannot answer",
    )
    read_pin_s: Seconds = Field(
        5.0,
        description="pinned: time after a session's write for which it reads from the primary; "
        "above the replica's lag, or the session reads what it has just replaced",
    )
    read_wait_s: Seconds = Field(
        0.1,
        description="lsn-wait: longest wait for the replica to replay the session's write; then "
        "the primary is queried. Above the usual lag, below what a user notices",
    )
    read_lag_max_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="longest lag with which READ_FROM counts. Beyond it, or if the lag is unknown, "
        "the primary is queried, and the replica again once it has caught up. The positions of "
        "both are compared four times while it passes, by each process; 0 (off), since the default "
        "asks the primary for each link that the cache knows to have changed. That ends after "
        "VERSION_FLOOR_S: below that it is for a replica that may lag for longer",
    )
    synchronous_commit: SynchronousCommit = Field(
        "",
        description="what a commit waits for: the primary's disk (local), and the standby's "
        "memory (remote_write), disk (on) or replay (remote_apply); empty, since that is for the "
        "server to decide. The last three wait for no standby unless the server names some "
        "(synchronous_standby_names), and without end if those are away: PRIMARY_TIMEOUT_S then "
        "ends the request, and the write may be there. `off` is NAIVE: it waits for nothing, and "
        "a crash loses acknowledged writes",
    )

    write_retry: Literal["none", "by-key"] = Field(
        "by-key",
        description="what follows a write whose outcome is unknown, since its connection broke or "
        "its time was up. by-key: until REQUEST_DEADLINE_S its key is read back on the primary (a "
        "create's Idempotency-Key or random code, an edit's or delete's If-Match), in a way that "
        "waits for the standby as a commit does: what is there is answered as made, and what is "
        "not is tried again under the same key. An alias without Idempotency-Key, and an edit "
        "without If-Match, have no key. none: NAIVE, 503 with `X-Outcome: unknown`, for the "
        "client to find out; by-key, since a blind retry makes two links, or takes its own for "
        "another's",
    )

    cache_fill: FillName = Field(
        "swr", description="strategy for a cache miss; with swr no reader of a cached link waits"
    )
    cache_ttl_s: Seconds = Field(
        60.0, description="time for which a cached link is fresh; a change invalidates it sooner"
    )
    cache_ttl_jitter: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="random part of a TTL, as a fraction; keeps keys made together from expiring "
        "together",
    )
    stale_while_revalidate_s: Seconds = Field(
        60.0,
        description="swr: time for which an expired link is still served while it is refreshed; "
        "the TTL again, so a link read every other minute never waits",
    )
    cache_invalidation: Invalidation = Field(
        "delete-with-floor",
        description="what a change does to the cached link. delete-with-floor: deletes it, voids "
        "fills in flight, and keeps older versions out for VERSION_FLOOR_S. none: NAIVE, nothing, "
        "so that it is served until its TTL ends. delete: NAIVE, deletes it, so that a fill which "
        "has read the old version stores that afterwards, for a whole TTL (not with "
        "CACHE_FILL=lease, whose leases the delete voids). double-delete: NAIVE, deletes it, and "
        "again after CACHE_SECOND_DELETE_S; with the default no fill brings an old version back, "
        "however late it comes within that time",
    )
    cache_second_delete_s: Seconds = Field(
        1.0,
        description="double-delete: time from the first delete to the second; above a look-up plus "
        "the replica's lag, or what it should repair comes later. Until then the old version is "
        "served, and a process that stops meanwhile does not make it",
    )
    negative_ttl_s: Seconds = Field(
        2.0, description="time for which an unknown code is cached; creating it invalidates that"
    )
    version_floor_s: Seconds = Field(
        60.0, description="time after a change that keeps older versions out; above replica lag"
    )
    xfetch_beta: float = Field(
        1.0,
        gt=0,
        le=10,
        description="xfetch: values above 1 refresh earlier; 1 is what the authors recommend",
    )
    fill_lock_ttl_s: Seconds = Field(
        5.0, description="TTL of a fill's lock or lease; above the slowest look-up, or two run"
    )
    fill_wait_s: Seconds = Field(
        3.0, description="longest wait for another's fill; then the reader queries the database"
    )
    cache_timeout_s: Seconds = Field(
        0.25,
        description="timeout of the cache; then the redirect goes on without it. NAIVE in minutes: "
        "redirects hang for as long as Redis does, the near cache's apart",
    )
    replica_timeout_s: Seconds = Field(
        1.0,
        description="timeout of the replica; then the primary is queried, if READ_FROM says so. "
        "NAIVE in minutes: a replica that hangs takes all POOL_SIZE connections with it",
    )
    breaker: bool = Field(
        True,
        description="open a breaker when the cache or a database fails. Off is NAIVE: as long as a "
        "server hangs each request waits for its timeout; on, since one wait says as much as many",
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        le=1000,
        description="failures in a row that open a breaker; one may be chance, each may have cost "
        "a timeout. Two or more that last for BREAKER_OPEN_S open it, too, so a high number is no "
        "way to be without: BREAKER=false is",
    )
    breaker_open_s: Seconds = Field(
        1.0,
        description="interval between the probes of an open breaker; traffic returns at most that "
        "much later than the server",
    )
    retry_budget: float = Field(
        0.1,
        ge=0,
        le=1,
        description="retries of look-ups, as a fraction of those that succeed, and of writes "
        "(WRITE_RETRY) likewise; 0.1 covers a broken connection and cannot feed an overload; 0: "
        "none",
    )
    request_deadline_s: Seconds = Field(
        4.0,
        description="longest time for a whole request, then 503; above the timeouts of cache, "
        "replica and primary in a row, below a balancer's timeout. NAIVE in minutes: requests are "
        "worked on whose clients have long gone",
    )
    max_in_flight: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="requests in flight in one process, beyond which they get 503 at once; ten "
        "times what a healthy core has, so it acts only when something hangs. NAIVE at a million: "
        "an unbounded queue, in which every request becomes late",
    )
    stale_if_error_s: float = Field(
        3600.0,
        ge=0,
        le=604_800,
        description="time after its freshness for which a cached link is still served if no "
        "database answers; an hour of outage costs only memory; 0: never",
    )
    near_cache_ttl_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="time for which a process keeps a link in its own memory; 0 (off) by default, "
        "since a change made through another process is seen that much later",
    )
    near_cache_size: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="most links in a process's own memory; about 600 bytes each with a target of "
        "50, so 6 MB in all, far more than are hot",
    )
    pool_timeout_s: Seconds = Field(
        0.5,
        description="longest wait for a free connection to a database; a queue longer than that "
        "does not drain by waiting. NAIVE in minutes: an unbounded queue for the database",
    )
    pool_size: int = Field(
        20, ge=1, le=200, description="connections to the replica; limits look-ups in flight"
    )
    primary_pool_size: int = Field(
        6, ge=1, le=200, description="connections to the primary; fewer, mostly for writes"
    )

    code_length: int = Field(
        10,
        ge=6,
        le=32,
        description="length of random codes; at 10 (62^10) a billion guesses a second take "
        "decades to find one in use",
    )
    bulk_max_links: int = Field(
        100, ge=1, le=1000, description="most links in a bulk request; keeps its transaction short"
    )
    api_body_max_bytes: int = Field(
        16_384,
        ge=1024,
        le=1_048_576,
        description="most bytes in the body of a request; the longest target takes 2 kB",
    )
    bulk_body_max_bytes: int = Field(
        262_144,
        ge=1024,
        le=16_777_216,
        description="most bytes in a bulk body; about 2.5 kB a link",
    )
    api_body_timeout_s: Seconds = Field(
        3.0,
        description="longest wait for a request's body; longer than a phone on a bad line needs, "
        "and a later body would miss the deadline",
    )
    require_api_key: bool = Field(
        False,
        description="require an API key, which sees only its own links; off, since the first key "
        "must be made first (`keys add`)",
    )
    api_key_cache_ttl_s: Seconds = Field(
        10.0, description="time for which a checked key is cached; delays a revocation"
    )
    api_rate_per_s: float = Field(
        50.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="sustained API requests a second per key or address, in each process; far "
        "above a person, below what would hurt others; 0: no limit",
    )
    api_burst: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="API requests per key or address that may come at once; for a script's first "
        "rush, then the rate holds",
    )
    trusted_proxies: str = Field(
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        description="networks, separated by commas, whose X-Forwarded-For (its last entry, with a "
        "port or without) and X-Forwarded-Proto (its first) are trusted; those with a balancer in "
        "them and no client",
    )
    refuse_private_targets: bool = Field(
        False,
        description="reject targets at private addresses and names; off, since the client and not "
        "this service visits them, and links inside a company are useful",
    )

    click_mode: Literal["buffered", "sync", "outbox"] = Field(
        "buffered",
        description="when a click is durable: soon after the answer (buffered), or before it, in "
        "Redis (sync) or Postgres (outbox); buffered, since a redirect should not wait for its "
        "own count",
    )
    click_wait_s: Seconds = Field(
        0.25,
        description="sync, outbox: longest wait for a click to be written; then the redirect is "
        "answered without a click id, and the click counts as dropped, though it may be written",
    )
    click_stream_mb: int = Field(
        128,
        ge=1,
        le=1_000_000,
        description="memory of Redis that the click stream may take while no worker reads it; new "
        "clicks are dropped beyond it. Half of Redis' memory, or the cache is evicted: about a "
        "million clicks",
    )
    click_flush_s: float = Field(
        0.01,
        gt=0,
        le=1,
        description="buffered: time for which clicks are gathered before they are sent; a crash "
        "loses that much, and 0.01 makes a hundred writes a second",
    )
    click_batch: int = Field(
        500, ge=1, le=10_000, description="most clicks in one entry or statement; about 50 kB"
    )
    click_buffer: int = Field(
        20_000, ge=1, le=10_000_000, description="clicks kept while the queue is down; then dropped"
    )
    click_attempts: int = Field(
        8,
        ge=1,
        le=100,
        description="buffered: attempts to send a batch of clicks; about ten seconds",
    )
    ready_wait_s: Seconds = Field(
        5.0,
        description="longest wait at start for both databases before the process listens; longer "
        "than either needs, but cached links are served even if one is down",
    )
    drain_s: float = Field(
        4.0,
        ge=0,
        le=3600,
        description="longest time for which open connections are kept at shutdown, each until its "
        "next response; above a balancer's keep-alive, since only the balancer can close an idle "
        "connection without losing a request",
    )
    shutdown_timeout_s: Seconds = Field(
        2.0,
        description="longest wait at shutdown for requests to end and for clicks to be sent; "
        "below the grace period of the supervisor",
    )

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return public_url.checked(value) if value else ""

    @field_validator("trusted_proxies")
    @classmethod
    def _is_a_list_of_networks(cls, value: str) -> str:
        networks(value)
        return value

    @property
    def breaker_limits(self) -> tuple[float, float]:
        """Failures, and seconds of them, that open a breaker; infinite if there is none."""
        if not self.breaker:
            return math.inf, math.inf
        return self.breaker_failures, self.breaker_open_s

    @property
    def keeps_sessions(self) -> bool:
        """True if a reader's token decides where a look-up goes."""
        return self.read_from == "pinned" or self.compares_positions

    @property
    def compares_positions(self) -> bool:
        """True if a token's position in the log is compared with the replica's."""
        return self.read_from in ("lsn", "lsn-wait")

    @property
    def watches_lag(self) -> bool:
        """True if the replica is read only while its lag is within a bound."""
        return self.read_lag_max_s > 0 and self.read_from != "primary"

    @property
    def reads_positions(self) -> bool:
        """True if the databases are asked for their positions in the log."""
        return self.compares_positions or self.watches_lag

    @model_validator(mode="after")
    def _positions_are_flushed(self) -> Self:
        if self.compares_positions and self.synchronous_commit == "off":
            raise ValueError(
                f"{PREFIX}SYNCHRONOUS_COMMIT=off does not go with {PREFIX}READ_FROM="
                f"{self.read_from}: a token is a flushed position, which such a write precedes"
            )
        return self

    @model_validator(mode="after")
    def _locks_outlive_look_ups(self) -> Self:
        slowest = self.cache_timeout_s + self.replica_timeout_s + self.primary_timeout_s
        if self.fill_lock_ttl_s < slowest:
            raise ValueError(
                f"{PREFIX}FILL_LOCK_TTL_S ({self.fill_lock_ttl_s:g}) must be at least "
                f"{PREFIX}CACHE_TIMEOUT_S + {PREFIX}REPLICA_TIMEOUT_S + "
                f"{PREFIX}PRIMARY_TIMEOUT_S ({slowest:g}), "
                "or a second fill could start while the first one runs"
            )
        return self


class WorkerSettings(_Settings):
    """Settings of a worker process."""

    worker_batch: int = Field(
        64,
        ge=1,
        le=10_000,
        description="most stream entries stored in one transaction; enough to share its cost",
    )
    worker_acknowledge: Literal["after-commit", "before-commit"] = Field(
        "after-commit",
        description="when the clicks of a stream entry are acknowledged: once they are committed "
        "(after-commit), or before (before-commit), which is NAIVE: a crash between the two, or "
        "a database that is down, loses the batch; after-commit, since what is delivered again "
        "counts once",
    )
    click_dedupe: bool = Field(
        True,
        description="count a click only if its id is new. Off is NAIVE: what is delivered again is "
        "added to the totals again, though `clicks` keeps one row of it; on, since a worker that "
        "dies before it acknowledges has its clicks delivered again",
    )
    worker_step: Literal["", "after-read", "after-store", "after-acknowledge"] = Field(
        "",
        description="test aid: step of every batch of the stream at which the worker pauses for "
        "WORKER_STEP_PAUSE_S; empty (none), since a pause is only for a kill from outside to hit "
        "that step",
    )
    worker_step_pause_s: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="test aid: pause at WORKER_STEP; above a stop's 3 s the batch is not finished",
    )
    worker_block_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="longest wait for new clicks in one read of the stream; delays a stop by up "
        "to that much",
    )
    worker_gather_s: float = Field(
        0.1,
        ge=0,
        le=60,
        description="pause after a batch that was not full, in which clicks gather for the next; "
        "at a thousand clicks a second it halves the cost of each, and delays its count by up to "
        "that much; 0: none",
    )
    worker_claim_idle_s: Seconds = Field(
        10.0,
        description="idle time after which a dead worker's entries are claimed; above the slowest "
        "batch, or live work would be done twice",
    )
    worker_backoff_s: Seconds = Field(
        2.0,
        description="longest pause between attempts while a database or the queue is down; only "
        "the counts lag",
    )
    idempotency_key_ttl_s: float = Field(
        86_400.0, gt=0, description="time for which an Idempotency-Key is kept; a day of retries"
    )
    outbox_poll_s: Seconds = Field(
        0.5, description="interval between reads of an empty outbox; delays counts that much"
    )
    expired_link_retention_s: float = Field(
        30 * 86_400.0,
        gt=0,
        le=3_650 * 86_400,
        description="time from expiry to deletion of a link: its target goes, and 410 becomes "
        "404; a month, in which its owner may still extend it",
    )
    sweep_interval_s: Seconds = Field(
        60.0, description="interval between sweeps of expired links; nothing waits for it"
    )
    click_retention_days: int = Field(
        30,
        ge=1,
        le=3_650,
        description="days for which single clicks are kept; the counts made of them stay. A click "
        "delivered later is dead-lettered, since it may have been counted already",
    )


_ANY_ADDRESS = {
    "primary_url": "postgresql://any",
    "replica_url": "postgresql://any",
    "cache_url": "redis://any",
    "queue_url": "redis://any",
}

_OF_ONE_PROCESS = (*_ANY_ADDRESS, "listen", "name", "public_url")

Chosen = TypeVar("Chosen", WebSettings, WorkerSettings, KeySettings)


def catalogue() -> dict[str, dict[str, object]]:
    """Every setting but the addresses, with default and reason; wrong values exit with 2."""
    read(WebSettings, **_ANY_ADDRESS)
    read(WorkerSettings, **_ANY_ADDRESS)
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    return {
        name.upper(): {"default": field.default, "about": field.description}
        for name, field in fields.items()
        if name not in _OF_ONE_PROCESS
    }


def in_force(settings: BaseSettings) -> dict[str, str]:
    """Every setting of a process but its name and its addresses, which may have passwords."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        name.upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if name not in _OF_ONE_PROCESS
    }


def read(kind: type[Chosen], **given: str) -> Chosen:
    """Settings from environment and file; explain wrong ones on stderr and exit with 2."""
    file = read_file(os.environ.get(FILE_VARIABLE, ""))
    problems = _unknown_variables(file)
    from_file = {name: value for name, value in file.values.items() if name not in os.environ}
    members = {name.removeprefix(PREFIX).lower(): value for name, value in from_file.items()}
    from_environment: Callable[..., Chosen] = kind
    try:
        settings = from_environment(**{**members, **given})
    except ValidationError as error:
        for detail in error.errors():
            problem = _explain(kind, dict(detail), {**os.environ, **from_file})
            blamed = any(name in problem for name in from_file)
            problems.append(problem + (f" (in {file.path})" if blamed else ""))
    else:
        if not problems:
            return settings
    sys.stderr.write("".join(f"invalid setting: {problem}\n" for problem in problems))
    raise SystemExit(2)


def _unknown_variables(file: SettingsFile) -> list[str]:
    """Problems for misspelt settings and for lines of the file that are none."""
    ours = [name for name in os.environ if name.startswith(PREFIX) and name != FILE_VARIABLE]
    in_file = [f"{problem} (in {file.path})" for problem in _unknown(file.values)]
    return [*_unknown(ours), *file.problems, *in_file]


def _unknown(names: Iterable[str]) -> list[str]:
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    known = [PREFIX + name.upper() for name in fields]
    return [_no_such(name, known) for name in sorted(names) if name not in known]


def _no_such(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _explain(kind: type[BaseSettings], detail: dict[str, object], values: Mapping[str, str]) -> str:
    location = detail["loc"]
    if not isinstance(location, tuple) or not location:
        return str(detail["msg"]).removeprefix("Value error, ")
    field = str(location[0])
    variable = PREFIX + field.upper()
    about = kind.model_fields[field].description
    if detail["type"] == "missing":
        return f"{variable} is not set; it is needed: {about}"
    fault = str(detail["msg"]).removeprefix("Value error, ")
    return f"{variable}={values.get(variable)!r}: {fault} ({about})"
