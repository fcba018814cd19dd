"""Observer of the stack, bypassing Toxiproxy: counters at rest, samples, the read-back."""

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
from prometheus_client.parser import text_string_to_metric_families

from chaos.model.evidence import Counters, ReadBack
from chaos.model.stack import Endpoints, Stack, StackError
from chaos.record.writer import RecordWriter

SAMPLE_PERIOD_S = 0.1
METRICS_EVERY = 3
NO_ROUTE = "other"  # route label of unknown paths: the lab's own probe of nginx
REST_TIMEOUT_S = 15.0
REST_POLL_S = 0.02
HTTP_TIMEOUT_S = 5.0

STREAM, GROUP = "clicks", "workers"

# The families that are read: the whole page takes the web process a millisecond.
WANTED = (
    "shortener_redirects_total",
    "shortener_requests_total",
    "shortener_requests_in_flight",
    "shortener_origin_queries_total",
    "shortener_origin_queries_in_flight",
    "shortener_fills_in_flight",
    "shortener_clicks_total",
    "process_start_time_seconds",
)
IN_FLIGHT = (
    "shortener_fills_in_flight",
    "shortener_origin_queries_in_flight",
    "shortener_requests_in_flight",
)

# Connection set-up and monitoring; the worker's commands begin with x.
OVERHEAD = (
    *("info", "ping", "hello", "client", "auth", "select", "command", "config", "memory"),
    *("multi", "exec"),  # the worker's transactions
)

ORIGIN_CALLS = """
    SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
    WHERE query LIKE '%/* origin */%' AND query NOT LIKE '%pg_stat_statements%'
"""
T = TypeVar("T")
Page = list[Any]  # samples of a web process's /metrics

CLICKS = "SELECT click_id, code FROM clicks WHERE code = ANY(%s)"
CLICKS_AT_ONCE = 10_000

LAG = """
    SELECT coalesce(max(pg_wal_lsn_diff(sent_lsn, replay_lsn)), 0)::float8,
        coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 FROM pg_stat_replication
"""


@contextmanager
def observer(stack: Stack, writer: RecordWriter) -> Iterator[DirectObserver]:
    """Sample in the background until the context ends.

    Raises:
        OSError: a sample could not be written; raised at the end, unless something else is.
    """
    direct = DirectObserver(stack)
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="observer") as thread:
        sampling = thread.submit(_keep_sampling, direct, writer, stop)
        try:
            yield direct
        finally:
            stop.set()
            wait([sampling])
            direct.close()
    sampling.result()


def _keep_sampling(observer: DirectObserver, writer: RecordWriter, stop: threading.Event) -> None:
    """Read every source periodically; one that does not answer leaves a gap."""
    tick = 0
    while not stop.wait(SAMPLE_PERIOD_S):
        for sample in observer.cheap if tick % METRICS_EVERY else observer.all:
            try:
                values = sample()
            except (psycopg.Error, redis.RedisError, requests.RequestException):
                continue
            writer.sample(time.monotonic(), values)
        tick += 1


class DirectObserver:
    """`chaos.model.lab.Observer` over direct connections, one set per thread."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._webs = {name: _RestartedCounter() for name in stack.endpoints.web}
        self._local = threading.local()
        self._opened: list[Any] = []
        self.cheap: list[Callable[[], Mapping[str, float]]] = [
            lambda: {"redis_commands": self._redis_commands()},
            lambda: {"origin_calls": self._origin_calls()},
        ]
        self.all = [*self.cheap, self._replication_lag, self._queue, *self._web_samples()]

    def close(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            connection.close()

    # --- samples -------------------------------------------------------------------------------

    def _web_samples(self) -> list[Callable[[], Mapping[str, float]]]:
        names = list(self._stack.endpoints.web)
        return [lambda name=name: self._web(name) for name in names]  # type: ignore[misc]

    def _web(self, name: str) -> Mapping[str, float]:
        metrics = self._metrics(self._stack.endpoints.web[name])
        wanted = {
            "redirects": "shortener_redirects_total",
            "origin_queries": "shortener_origin_queries_total",
            "origin_queries_in_flight": "shortener_origin_queries_in_flight",
        }
        return {f"{name}.{short}": _sum(metrics, metric) for short, metric in wanted.items()}

    def _queue(self) -> Mapping[str, float]:
        return {"queue_backlog": float(self._backlog())}

    def _replication_lag(self) -> Mapping[str, float]:
        row = self._database(self._stack.endpoints.primary).execute(LAG).fetchone()
        assert row is not None
        return {"replication_lag_bytes": row[0], "replication_lag_s": row[1]}

    # --- counters and read-back ----------------------------------------------------------------

    def counters(self) -> Counters:
        """Wait until nothing is in flight; return the totals so far.

        Raises:
            StackError: something is still in flight after 15 s.
        """
        with self._sources():
            pages = self._pages_at_rest()
            return Counters(
                postgres_origin_queries=self._origin_calls(),
                app_origin_queries=int(_total_of(pages, "shortener_origin_queries_total")),
                redis_commands=self._redis_commands(),
                web_requests=sum(self._requests_of(name, page) for name, page in pages.items()),
                web_starts=sum(web.starts for web in self._webs.values()),
            )

    def read_back(self, codes: Sequence[str]) -> ReadBack:
        """Wait until the click queue has drained; return clicks and totals of these links.

        Raises:
            StackError: the queue has not drained after 15 s.
        """
        with self._sources():
            self._wait("the click queue has not drained", lambda: self._unsettled_clicks() == 0)
            totals = {code: self._total(code) for code in codes}
            return ReadBack(self._clicks(codes), totals)

    def _clicks(self, codes: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Stream them: they may not fit into memory."""
        with self._sources():
            database = self._database(self._stack.endpoints.primary)
            yield from database.cursor().stream(CLICKS, [list(codes)], size=CLICKS_AT_ONCE)

    @contextmanager
    def _sources(self) -> Iterator[None]:
        """Turn an error of a source into `PartDied` or `StackError`."""
        try:
            yield
        except (psycopg.Error, redis.RedisError, requests.RequestException) as error:
            self._stack.check()
            raise StackError(f"a part did not answer: {error}") from error

    def _total(self, code: str) -> int:
        url = f"{self._stack.endpoints.url}/api/links/{code}/stats"
        return int(self._http().get(url, timeout=HTTP_TIMEOUT_S).json()["total"])

    def _wait(self, what: str, settled: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + REST_TIMEOUT_S
        while not settled():
            if time.monotonic() > deadline_s:
                raise StackError(f"{what} after {REST_TIMEOUT_S:g} s at rest")
            self._stack.check()
            time.sleep(REST_POLL_S)

    def _pages_at_rest(self) -> Mapping[str, Page]:
        """The page of each web process, once none has anything in flight."""
        pages: dict[str, Page] = {}
        at = self._stack.endpoints.web.items()

        def at_rest() -> bool:
            pages.update((name, self._metrics(url)) for name, url in at)
            return _total_of(pages, *IN_FLIGHT) == 0

        self._wait("a request is still under way", at_rest)
        return pages

    def _requests_of(self, name: str, page: Page) -> int:
        """Requests that a web process has answered over all restarts, as far as observed."""
        answered = _sum(page, "shortener_requests_total")
        unrouted = _sum(page, "shortener_requests_total", route=NO_ROUTE)
        started_s = _sum(page, "process_start_time_seconds")
        return self._webs[name].update(started_s, int(answered - unrouted))

    def _unsettled_clicks(self) -> float:
        pages = [self._metrics(url) for url in self._stack.endpoints.web.values()]
        minted = sum(_sum(page, "shortener_clicks_total", state="minted") for page in pages)
        gone = sum(
            _sum(page, "shortener_clicks_total", state=state)
            for page in pages
            for state in ("queued", "dropped")
        )
        return minted - gone + self._backlog()

    # --- sources -------------------------------------------------------------------------------

    def _origin_calls(self) -> int:
        """Origin queries as both databases count them."""
        ends = self._stack.endpoints
        rows = [self._database(url).execute(ORIGIN_CALLS).fetchone() for url in _both(ends)]
        return sum(int(row[0]) for row in rows if row is not None)

    def _redis_commands(self) -> int:
        stats = self._redis().info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        return sum(count for name, count in calls.items() if _sent_by_web(name))

    def _backlog(self) -> int:
        """Stream entries not yet read, or read and not acknowledged."""
        try:
            groups = self._redis().xinfo_groups(STREAM)
        except redis.ResponseError:
            return 0
        return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)

    def _metrics(self, url: str) -> Page:
        """Samples of the wanted families; a missing one is an error, not zero."""
        only = {"name[]": WANTED}
        text = self._http().get(f"{url}/metrics", params=only, timeout=HTTP_TIMEOUT_S).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        if missing := set(WANTED) - {sample.name for sample in samples}:
            raise StackError(f"{url}/metrics lacks {', '.join(sorted(missing))}")
        return samples

    def _http(self) -> requests.Session:
        return self._own("http", requests.Session)

    def _redis(self) -> redis.Redis:
        url = self._stack.endpoints.redis
        return self._own("redis", lambda: redis.Redis.from_url(url, decode_responses=True))

    def _database(self, url: str) -> psycopg.Connection[Any]:
        connect: Callable[[], psycopg.Connection[Any]] = lambda: psycopg.connect(  # noqa: E731
            url, autocommit=True, connect_timeout=int(HTTP_TIMEOUT_S)
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


class _RestartedCounter:
    """A counter of a process that starts from zero at each restart, added up."""

    def __init__(self) -> None:
        self.starts = 0
        self._started_s = 0.0
        self._earlier = self._now = 0

    def update(self, started_s: float, count: int) -> int:
        """Take its current value; return the sum over all restarts."""
        if started_s != self._started_s:
            self.starts += 1
            self._started_s = started_s
            self._earlier += self._now
        self._now = count
        return self._earlier + self._now


def _sent_by_web(command: str) -> bool:
    worker = command.startswith("x") and command != "xadd"
    return not worker and not command.startswith(OVERHEAD)


def _both(endpoints: Endpoints) -> tuple[str, str]:
    return endpoints.primary, endpoints.replica


def _total_of(pages: Mapping[str, Page], *metrics: str) -> float:
    return sum(_sum(page, metric) for page in pages.values() for metric in metrics)


def _sum(samples: Page, metric: str, **labels: str) -> float:
    """The sum of a metric over all its labels, or over those that have the given ones."""
    return sum(
        float(sample.value)
        for sample in samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )
