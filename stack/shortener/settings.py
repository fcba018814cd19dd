"""Every setting of the shortener, each with its reason; read once, from the environment and from
the file that SHORTENER_SETTINGS_FILE names, if it does. The environment wins."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stack.shortener.http import public_url
from stack.shortener.infra.client_address import networks
from stack.shortener.infra.settings_file import SettingsFile, read_file

PREFIX = "SHORTENER_"
FILE_VARIABLE = f"{PREFIX}SETTINGS_FILE"

Listen = Annotated[str, StringConstraints(pattern=r"^[^\s:]+:\d{1,5}$")]
PostgresUrl = Annotated[str, StringConstraints(pattern=r"^postgres(ql)?://\S+$")]
RedisUrl = Annotated[str, StringConstraints(pattern=r"^rediss?://\S+$")]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
FillName = Literal["direct", "singleflight", "lock", "lease", "xfetch", "swr"]


class KeySettings(BaseSettings):
    """Settings of the commands that only need the primary; web and worker need them, too."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    primary_url: PostgresUrl = Field(
        description="postgresql:// URL of the database for writes; it holds the truth"
    )
    primary_timeout_s: Seconds = Field(
        2.0, description="longest wait for the primary; far above a healthy answer, below a user's"
    )


class _Settings(KeySettings):
    """What web and worker both need."""

    listen: Listen = Field(
        "127.0.0.1:8000", description="host:port to serve HTTP on; loopback, a balancer is in front"
    )
    name: str = Field(
        "shortener",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="name of this process in logs, and of the worker in its consumer group; no two "
        "workers may share one",
    )
    queue_url: RedisUrl = Field(
        description="redis:// URL of the click stream; may be that of the cache"
    )
    queue_timeout_s: Seconds = Field(
        1.0, description="longest wait for the click queue; nobody waits for it, so it is patient"
    )
    migrate: bool = Field(
        True,
        description="whether the schema is brought up to date at start; if not, it is waited for, "
        "for deployments whose processes may not change it",
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


class WebSettings(_Settings):
    """Settings of a web process."""

    replica_url: PostgresUrl = Field(
        description="postgresql:// URL of the database for redirects; may be that of the primary"
    )
    cache_url: RedisUrl = Field(
        description="redis:// or rediss:// URL of the cache; its user, password and database count"
    )
    public_url: str = Field(
        "",
        description="what short links begin with, if need be with a path; empty: the host that the "
        "request named",
    )

    cache_fill: FillName = Field(
        "swr", description="how a cache miss is filled; swr, since with it no reader ever waits"
    )
    cache_ttl_s: Seconds = Field(
        60.0, description="how long a cached link is fresh; changes invalidate it anyway"
    )
    cache_ttl_jitter: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share by which a TTL varies; so keys made together do not expire together",
    )
    stale_while_revalidate_s: Seconds = Field(
        60.0,
        description="swr: how long an expired link may still be served while it is refreshed; "
        "as long as it was fresh, so that a link read every other minute never waits",
    )
    negative_ttl_s: Seconds = Field(
        2.0,
        description="how long an unknown code is remembered; creating it purges it anyway",
    )
    version_floor_s: Seconds = Field(
        60.0,
        description="how long after a change older versions stay out of the cache; above any lag",
    )
    xfetch_beta: float = Field(
        1.0,
        gt=0,
        le=10,
        description="xfetch: above 1 refreshes earlier; 1 is what its authors recommend",
    )
    fill_lock_ttl_s: Seconds = Field(
        5.0,
        description="life of a fill's lock or lease; above the slowest look-up, else two run",
    )
    fill_wait_s: Seconds = Field(
        3.0,
        description="longest wait for another's fill; then the reader asks the database itself",
    )
    cache_timeout_s: Seconds = Field(
        0.25, description="longest wait for the cache; then the redirect goes on without it"
    )
    replica_timeout_s: Seconds = Field(
        1.0, description="longest wait for the replica; then the primary is asked"
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        le=1000,
        description="failures in a row after which cache, replica or primary is left alone, "
        "unless they have gone on for a pause before; one may be chance, each may have been a wait",
    )
    breaker_open_s: Seconds = Field(
        1.0,
        description="pause between probes of what is left alone; so much later than it is up "
        "again does it get its traffic back",
    )
    retry_budget: float = Field(
        0.1,
        ge=0,
        le=1,
        description="look-ups that may be retried, as a share of those that go well; a tenth "
        "covers a broken connection, and cannot feed an overload; 0: none",
    )
    request_deadline_s: Seconds = Field(
        4.0,
        description="longest time for a whole request, then 503; above cache, replica and primary "
        "timing out one after the other, below a balancer's patience",
    )
    max_in_flight: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="requests under way at once in a process, others get 503 at once; ten times "
        "what a healthy core has, so it only acts when something hangs",
    )
    stale_if_error_s: float = Field(
        3600.0,
        ge=0,
        le=604_800,
        description="how long after its freshness a cached link is still served if no database "
        "can be asked; an hour of outage costs nothing but memory; 0: never",
    )
    near_cache_ttl_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="how long a process keeps a link in its own memory; off (0) by default, since "
        "a change made through another process is seen that much later",
    )
    near_cache_size: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="most links in a process's own memory; about 600 bytes each with a target of "
        "50, so 6 MB in all, and far more than are hot",
    )
    pool_timeout_s: Seconds = Field(
        0.5,
        description="longest wait for a free connection to a database; a queue that is longer "
        "than that does not empty by waiting",
    )
    pool_size: int = Field(
        20, ge=1, le=200, description="connections to the replica; look-ups in flight at most"
    )
    primary_pool_size: int = Field(
        6, ge=1, le=200, description="connections to the primary; fewer, it serves writes only"
    )

    code_length: int = Field(
        10,
        ge=6,
        le=32,
        description="length of random codes; at 10 (62^10) a billion guesses a second take decades "
        "to find one in use",
    )
    bulk_max_links: int = Field(
        100, ge=1, le=1000, description="most links in one bulk request; one short transaction"
    )
    api_body_max_bytes: int = Field(
        16_384,
        ge=1024,
        le=1_048_576,
        description="longest body of a request in bytes; the longest target takes 2 kB of it",
    )
    bulk_body_max_bytes: int = Field(
        262_144,
        ge=1024,
        le=16_777_216,
        description="longest body of a bulk request in bytes; about 2.5 kB a link",
    )
    api_body_timeout_s: Seconds = Field(
        3.0,
        description="longest wait for a body; a phone on a bad line is faster, and what comes "
        "later would not meet the deadline",
    )
    require_api_key: bool = Field(
        False,
        description="whether the API needs a key, which then sees its own links only; off, since "
        "the first key has to be made first (`keys add`)",
    )
    api_key_cache_ttl_s: Seconds = Field(
        10.0, description="how long a key is known without asking; so much later a revocation acts"
    )
    api_rate_per_s: float = Field(
        50.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="API requests a second of one key or address and process in the long run; far "
        "above a person, below what would hurt others; 0: no limit",
    )
    api_burst: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="API requests at once of one key or address; for a script's first rush, then "
        "the rate holds",
    )
    trusted_proxies: str = Field(
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        description="networks whose X-Forwarded-For (its last entry, with a port or without) and "
        "-Proto (its first) are believed, with commas between; those in which a balancer stands, "
        "and no client",
    )
    refuse_private_targets: bool = Field(
        False,
        description="whether targets at private addresses and names are refused; off, since "
        "clients and not we go there, and links inside a company are useful",
    )

    click_mode: Literal["buffered", "sync", "outbox"] = Field(
        "buffered",
        description="when a click is safe: soon after the answer (buffered), or before it, in "
        "Redis (sync) or Postgres (outbox); a redirect should not wait for its own count",
    )
    click_wait_s: Seconds = Field(
        0.25,
        description="sync, outbox: longest wait for a click to be written; then the redirect is "
        "answered without its id, and the click counts as dropped",
    )
    click_stream_mb: int = Field(
        128,
        ge=1,
        le=1_000_000,
        description="memory of Redis that clicks may take while no worker takes them; then new "
        "ones are dropped. Half of what Redis has, or the cache is pushed out: about a million",
    )
    click_flush_s: float = Field(
        0.01,
        gt=0,
        le=1,
        description="buffered: how long clicks are gathered; it is what a crash may lose, and "
        "makes a hundred writes a second",
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
        description="buffered: times a batch of clicks is tried; in all about ten seconds",
    )
    ready_wait_s: Seconds = Field(
        5.0,
        description="longest wait at start for both databases, before which nobody is let in; "
        "longer than any of them takes, but cached links are served even if one is down",
    )
    drain_s: float = Field(
        4.0,
        ge=0,
        le=3600,
        description="longest time for which open connections are kept at shutdown, each until its "
        "next answer; above a balancer's keep-alive for idle ones, which it can close itself "
        "without losing a request, and we cannot",
    )
    shutdown_timeout_s: Seconds = Field(
        2.0,
        description="longest wait at shutdown for requests to end and for clicks to be sent; "
        "within the patience of whoever stops us",
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

    @model_validator(mode="after")
    def _holds_outlive_look_ups(self) -> Self:
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
        description="most stream entries stored in one transaction; enough that its cost is shared",
    )
    worker_block_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="longest wait for new clicks in one read of the stream; a stop is heard that "
        "late",
    )
    worker_gather_s: float = Field(
        0.1,
        ge=0,
        le=60,
        description="pause after a batch that was not full, in which clicks gather for the next; "
        "at a thousand a second each then costs half, and is counted at most that much later; "
        "0: none",
    )
    worker_claim_idle_s: Seconds = Field(
        10.0,
        description="idle time after which a dead worker's entries are taken over; above the "
        "slowest batch, or live work would be done twice",
    )
    worker_backoff_s: Seconds = Field(
        2.0,
        description="longest pause between attempts while a database or the queue is down; counts "
        "lag, no more",
    )
    idempotency_key_ttl_s: float = Field(
        86_400.0, gt=0, description="how long an Idempotency-Key is remembered; a day of retries"
    )
    outbox_poll_s: Seconds = Field(
        0.5, description="pause between looks into an empty outbox; counts may be that late"
    )
    expired_link_retention_s: float = Field(
        30 * 86_400.0,
        gt=0,
        le=3_650 * 86_400,
        description="how long after its expiry a link is ended like a deleted one: its target "
        "goes, and 410 becomes 404; a month, in which its owner may still extend it",
    )
    sweep_interval_s: Seconds = Field(
        60.0, description="pause between looks for links to end; nobody waits for it"
    )
    click_retention_days: int = Field(
        30,
        ge=1,
        le=3_650,
        description="days for which single clicks are kept; the counts made of them stay. A click "
        "delivered later than that is set aside, since nobody knows whether it was counted",
    )


_ANY_ADDRESS = {
    "primary_url": "postgresql://any",
    "replica_url": "postgresql://any",
    "cache_url": "redis://any",
    "queue_url": "redis://any",
}

Chosen = TypeVar("Chosen", WebSettings, WorkerSettings, KeySettings)


def catalogue() -> dict[str, dict[str, object]]:
    """Every setting but the addresses: its default and its reason.

    The settings are read on the way, so that wrong values are told before anything starts.
    """
    read(WebSettings, **_ANY_ADDRESS)
    read(WorkerSettings, **_ANY_ADDRESS)
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    return {
        name.upper(): {"default": field.default, "about": field.description}
        for name, field in fields.items()
        if name not in (*_ANY_ADDRESS, "listen", "name", "public_url")
    }


def read(kind: type[Chosen], **given: str) -> Chosen:
    """The settings from environment and file; if wrong, say how on stderr and exit with 2."""
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
    """A misspelt setting must not pass for its default, nor a line that is none."""
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
