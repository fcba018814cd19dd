"""Observer of the stack, bypassing Toxiproxy: counters at rest, samples, the read-back.

Each source has its own thread, so that one that hangs is a gap in its own series only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.model.evidence import InForce, ReadBack
from chaos.model.lab import INCARNATION, Counters
from chaos.model.series import LAGS, is_gauge
from chaos.model.stack import Role, Settings, Stack, StackError
from chaos.record.writer import RecordWriter
from chaos.runtimes import app_statements, stack_counters
from chaos.runtimes.part_settings import in_force

SAMPLE_PERIOD_S = 0.1
SLOW_PERIOD_S = 0.3
REST_TIMEOUT_S = 15.0
REST_POLL_S = 0.02
SAMPLE_TIMEOUT_S = 1.0
HTTP_TIMEOUT_S = 5.0
ROWS_AT_ONCE = 10_000
RUN_ID_DIGITS = 12  # of 40, as many as a float holds

ERRORS = (psycopg.Error, redis.RedisError, requests.RequestException, StackError)
T = TypeVar("T")
Source = Callable[[], Mapping[str, float]]


@contextmanager
def observer(stack: Stack, writer: RecordWriter) -> Iterator[DirectObserver]:
    """Sample in the background until the context ends.

    Raises:
        OSError: a sample could not be written; raised at the end, unless something else is.
    """
    direct = DirectObserver(stack)
    stop = threading.Event()
    sources = direct.sources()
    with ThreadPoolExecutor(len(sources), thread_name_prefix="observer") as threads:
        sampling = [
            threads.submit(_keep_sampling, source, period_s, writer, stop)
            for source, period_s in sources
        ]
        try:
            yield direct
        finally:
            stop.set()
            wait(sampling)
            direct.close()
    for done in sampling:
        done.result()


def _keep_sampling(
    source: Source, period_s: float, writer: RecordWriter, stop: threading.Event
) -> None:
    """Read one source periodically; while it does not answer there is a gap."""
    while not stop.wait(period_s):
        try:
            values = source()
        except ERRORS:
            continue
        writer.sample(time.monotonic(), values)


class DirectObserver:
    """`chaos.model.lab.Observer` over direct connections, one set per thread."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._local = threading.local()
        self._opened: list[Any] = []
        self._since = self._query(stack.endpoints.primary, "SELECT now()")[0]

    def close(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            connection.close()

    def sources(self) -> list[tuple[Source, float]]:
        """What is sampled, each with its period in seconds."""
        webs = [
            (lambda name=name: _named(name, self._web(name)), SLOW_PERIOD_S)
            for name in self._stack.endpoints.web
        ]
        return [
            (lambda: {"redis.commands": self._redis_commands()}, SAMPLE_PERIOD_S),
            (lambda: {"primary.look_ups": self._database("primary")["look_ups"]}, SAMPLE_PERIOD_S),
            (lambda: {"replica.look_ups": self._database("replica")["look_ups"]}, SAMPLE_PERIOD_S),
            (self._replication_lag, SLOW_PERIOD_S),
            (lambda: self._received("replica"), SLOW_PERIOD_S),
            (self._standby, SLOW_PERIOD_S),
            (lambda: {"redis.clicks_waiting": self._queue()}, SLOW_PERIOD_S),
            (lambda: {"primary.clicks_waiting": self._outbox()}, SLOW_PERIOD_S),
            *webs,
        ]

    # --- the protocol --------------------------------------------------------------------------

    def counters(self) -> Counters:
        """Wait until nothing is in flight; return the totals so far.

        Raises:
            StackError: something is still in flight after 15 s, or a part does not answer.
        """
        with self._explained():
            self._wait_until_idle()
            counters: dict[str, float] = {}
            for name in self._stack.endpoints.web:
                seen = self._web(name).items()
                counters |= _named(name, {n: v for n, v in seen if not is_gauge(n)})
            for name in self._databases():
                counters |= _named(name, self._database(name))
            counters |= _named("redis", self._redis_state())
            return counters | _named("worker", self._worker())

    def in_force(self, settings: Settings) -> InForce:
        """What the parts say of themselves, once all that should follow the primary do so.

        After a fault it takes Postgres up to five seconds to connect again.

        Raises:
            StackError: a part does not answer.
        """
        with self._explained():
            pages = {**self._stack.endpoints.web, "worker": self._stack.endpoints.worker}
            deadline_s = time.monotonic() + REST_TIMEOUT_S
            while not all((roles := self._roles())[f"{own}.streams"] for own in self._followers()):
                if time.monotonic() > deadline_s:
                    break
                self._stack.check()
                time.sleep(REST_POLL_S)
            only = [stack_counters.SETTINGS]
            told = {n: stack_counters.settings(self._families(at, only)) for n, at in pages.items()}
            return InForce(
                settings={**told, **in_force(self._stack, settings)},
                roles=roles,
                strange={
                    text: calls
                    for name in self._databases()
                    for text, calls in self._strange(name).items()
                },
            )

    def settled(self) -> bool:
        """True if every click is counted: no buffer, queue or outbox holds one."""
        with self._explained():
            unsent = sum(self._web(name)["clicks_waiting"] for name in self._stack.endpoints.web)
            return unsent == 0 and self._queue() == 0 and self._outbox() == 0

    def fork(self, url: str) -> Iterator[tuple[str, str, int]]:
        """Yield kind, id and version of all that a server which lost its role holds of the run."""
        with (
            self._explained(),
            psycopg.connect(url, autocommit=True, connect_timeout=2) as server,
        ):
            for click_id, _ in server.cursor().stream(stack_counters.CLICKS, [self._since]):
                yield "clicks", click_id, 0
            for code, version, *_ in server.cursor().stream(stack_counters.LINKS, [self._since]):
                yield "links", code, version

    def read_back(self) -> ReadBack:
        """The links made since the run began, and their clicks."""
        with self._explained():
            rows = {name: self._count(query) for name, query in stack_counters.HELD.items()}
            clicks, links, totals = map(self._rows, stack_counters.HELD.values())
            return ReadBack(clicks, links, dict(totals), rows)

    def _count(self, query: str) -> int:
        """Rows that the primary counts in a query."""
        ((count,),) = self._rows(f"SELECT count(*) FROM ({query}) AS held")
        return int(count)

    def _rows(self, query: str) -> Iterator[Any]:
        """Stream rows: they may not fit into memory."""
        with self._explained():
            database = self._connection(self._stack.endpoints.primary)
            yield from database.cursor().stream(query, [self._since], size=ROWS_AT_ONCE)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of a source into `PartDied` or `StackError`."""
        try:
            yield
        except (psycopg.Error, redis.RedisError, requests.RequestException) as error:
            self._stack.check()
            raise StackError(f"a part did not answer: {error}") from error

    def _wait_until_idle(self) -> None:
        """Return once no web process has anything in flight."""
        deadline_s = time.monotonic() + REST_TIMEOUT_S
        while sum(self._web(name)["in_flight"] for name in self._stack.endpoints.web):
            if time.monotonic() > deadline_s:
                raise StackError(f"a request is still under way after {REST_TIMEOUT_S:g} s at rest")
            self._stack.check()
            time.sleep(REST_POLL_S)

    # --- sources -------------------------------------------------------------------------------

    def _web(self, name: str) -> Mapping[str, float]:
        at = self._stack.endpoints.web[name]
        return stack_counters.web_counters(self._families(at, stack_counters.FAMILIES))

    def _worker(self) -> Mapping[str, float]:
        text = self._families(self._stack.endpoints.worker, [stack_counters.PROCESS_START])
        return {INCARNATION: stack_counters.process_start_s(text)}

    def _families(self, url: str, names: Sequence[str]) -> str:
        """These families of a process's metrics: the whole page takes it a millisecond."""
        answer = self._http().get(
            f"{url}/metrics", params={"name[]": names}, timeout=HTTP_TIMEOUT_S
        )
        return answer.text

    def _databases(self) -> Sequence[str]:
        """The roles that servers have, or had last."""
        return ["primary", *self._followers()]

    def _followers(self) -> Sequence[str]:
        return ["replica", *["standby"] * (self._stack.endpoints.standby is not None)]

    def _database(self, name: str) -> Mapping[str, float]:
        row = self._query(getattr(self._stack.endpoints, name), app_statements.COUNTS)
        return dict(zip(("look_ups", "reads", "writes", INCARNATION), row, strict=True))

    def _strange(self, name: str) -> Mapping[str, float]:
        database = self._connection(getattr(self._stack.endpoints, name))
        return {
            f"{name}: {text}": calls for text, calls in database.execute(app_statements.STRANGE)
        }

    def _roles(self) -> Mapping[str, bool]:
        primary, followers = self._stack.endpoints.primary, self._followers()
        leads, cluster = self._query(primary, stack_counters.CLUSTER)
        to_all = self._query(primary, stack_counters.STREAMS)[0] >= len(followers)
        roles = {"primary.in_recovery": leads}
        for name in followers:
            url = getattr(self._stack.endpoints, name)
            follows, its = self._query(url, stack_counters.CLUSTER)
            receives = self._query(url, stack_counters.RECEIVES)[0]
            roles[f"{name}.in_recovery"] = follows
            roles[f"{name}.streams"] = cluster == its and to_all and receives
        return roles

    def _replication_lag(self) -> Mapping[str, float]:
        """The replica's lag, as the primary sees it."""
        return _named("primary", self._lag("replica"))

    def _lag(self, name: Role) -> Mapping[str, float]:
        ends = self._stack.endpoints
        url = getattr(ends, name)
        server = next(server for server, own in ends.servers.items() if own == url)
        row = self._query(ends.primary, stack_counters.LAG, server)
        return dict(zip(LAGS, row, strict=True))

    def _received(self, name: Role) -> Mapping[str, float]:
        row = self._query(getattr(self._stack.endpoints, name), stack_counters.RECEIVED)
        return {f"{name}.received_bytes": float(row[0])}

    def _standby(self) -> Mapping[str, float]:
        """Samples of the standby; empty with two servers."""
        if self._stack.endpoints.standby is None:
            return {}
        look_ups = self._database("standby")["look_ups"]
        return {
            **_named("standby", {"look_ups": look_ups, **self._lag("standby")}),
            **self._received("standby"),
        }

    def _outbox(self) -> float:
        return float(self._query(self._stack.endpoints.primary, stack_counters.OUTBOX)[0])

    def _redis_commands(self) -> float:
        return stack_counters.redis_commands(self._redis().info("commandstats"))

    def _redis_state(self) -> Mapping[str, float]:
        run = float(int(self._redis().info("server")["run_id"][:RUN_ID_DIGITS], 16))
        return {"commands": self._redis_commands(), INCARNATION: run}

    def _queue(self) -> float:
        """Stream entries not yet read, or read and not acknowledged."""
        try:
            groups = self._redis().xinfo_groups(stack_counters.STREAM)
        except redis.ResponseError:
            return 0.0
        return float(sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups))

    # --- connections ---------------------------------------------------------------------------

    def _query(self, url: str, query: str, *values: str) -> Any:
        try:
            row = self._connection(url).execute(query, values or None).fetchone()
        except psycopg.OperationalError:  # the first to notice that the part began anew
            row = self._connection(url).execute(query, values or None).fetchone()
        assert row is not None
        return row

    def _http(self) -> requests.Session:
        return self._own("http", requests.Session)

    def _redis(self) -> redis.Redis:
        return self._own(
            "redis",
            lambda: redis.Redis.from_url(
                self._stack.endpoints.redis,
                decode_responses=True,
                socket_timeout=SAMPLE_TIMEOUT_S,
                socket_connect_timeout=SAMPLE_TIMEOUT_S,
                retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            ),
        )

    def _connection(self, url: str) -> psycopg.Connection[Any]:
        connect: Callable[[], psycopg.Connection[Any]] = lambda: psycopg.connect(  # noqa: E731
            url, autocommit=True, connect_timeout=2
        )
        if self._own(url, connect).closed:
            delattr(self._local, url)
        return self._own(url, connect)

    def _own(self, name: str, make: Callable[[], T]) -> T:
        """This thread's connection to a source, opened at first use."""
        if not hasattr(self._local, name):
            connection = make()
            self._opened.append(connection)
            setattr(self._local, name, connection)
        own: T = getattr(self._local, name)
        return own


def _named(part: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}.{name}": value for name, value in values.items()}
