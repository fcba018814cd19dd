"""The observer on a real stack: what it counts, and what it leaves to others."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import closing
from errno import ENOSPC
from pathlib import Path

import duckdb
import psycopg
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.engine.observer import SAMPLE_PERIOD_S, SLOW_PERIOD_S, DirectObserver
from chaos.engine.observer import observer as observing
from chaos.engine.run import HostClock
from chaos.model.lab import INCARNATION, Counters
from chaos.model.series import SERIES, is_gauge
from chaos.model.stack import SERVER_COUNT, Stack, StackError
from chaos.record.writer import RecordWriter
from chaos.runtimes.stack_counters import CLICKS
from tests.support.thorough import times

pytestmark = pytest.mark.real

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@pytest.fixture
def observer(stack: Stack) -> Iterator[DirectObserver]:
    seen = DirectObserver(stack)
    yield seen
    seen.close()


def new_link(stack: Stack) -> str:
    made = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=5
    )
    return str(made.json()["code"])


def follow(stack: Stack, code: str) -> str:
    answer = requests.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=5)
    return answer.headers["X-Click-Id"]


def test_only_links_made_since_the_observer_came_are_read_back_with_their_clicks(
    stack: Stack,
) -> None:
    before = new_link(stack)
    with closing(DirectObserver(stack)) as observer:
        ours = new_link(stack)
        clicks = [follow(stack, ours) for _ in range(3)]
        follow(stack, before)
        wait_until_settled(observer)
        seen = observer.read_back()
        assert sorted(seen.clicks) == sorted((click_id, ours) for click_id in clicks)
        assert [*seen.links] == [(ours, 1, "https://example.org/", False)]
        assert seen.totals == {ours: 3}


def wait_until_settled(observer: DirectObserver) -> None:
    deadline_s = time.monotonic() + 10
    while not observer.settled():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.fixture
def three_servers(stack: Stack) -> Iterator[Stack]:
    stack.configure({SERVER_COUNT: "3"})
    yield stack
    stack.configure({})


def test_every_source_is_sampled_and_no_gauge_counts_at_rest(
    three_servers: Stack, tmp_path: Path
) -> None:
    assert sampled_at_rest(three_servers, tmp_path) == {*SERIES}


def test_a_standby_is_sampled_only_where_there_is_one(stack: Stack, tmp_path: Path) -> None:
    assert sampled_at_rest(stack, tmp_path) == {*SERIES} - {"standby"}


def sampled_at_rest(stack: Stack, tmp_path: Path) -> set[str]:
    """The kinds of parts of which every series was sampled, and nothing else."""
    writer = RecordWriter(tmp_path / "run", {}, HostClock())
    with observing(stack, writer) as observer:
        new_link(stack)
        time.sleep(5 * SLOW_PERIOD_S)
        at_rest = observer.counters()
    writer.close()
    sql = f"SELECT DISTINCT name FROM '{tmp_path / 'run' / 'samples.parquet'}'"
    sampled = {str(name) for (name,) in duckdb.execute(sql).fetchall()}
    parts = {kind: [kind] for kind in SERIES} | {"web": [*stack.endpoints.web]}
    due = {
        kind: {f"{part}.{what}" for part in parts[kind] for what in names}
        for kind, names in SERIES.items()
    }
    own = {f"{web}.{INCARNATION}" for web in stack.endpoints.web}
    whole = {kind for kind, names in due.items() if names <= sampled}
    assert sampled == own.union(*(due[kind] for kind in whole))
    assert not [name for name in at_rest if is_gauge(name)]
    return whole


class FullDisk(RecordWriter):
    """A record that has no room for samples."""

    def sample(self, t_s: float, values: Mapping[str, float]) -> None:
        raise OSError(ENOSPC, "No space left on device")


def test_a_sample_that_cannot_be_written_is_told_at_the_end(stack: Stack, tmp_path: Path) -> None:
    writer = FullDisk(tmp_path / "run", {}, HostClock())
    with pytest.raises(OSError, match="No space left"), observing(stack, writer):
        time.sleep(2 * SAMPLE_PERIOD_S)
    writer.close()


@pytest.fixture
def links(stack: Stack) -> Iterator[list[str]]:
    """Three links, whose clicks are gone afterwards."""
    codes = [new_link(stack) for _ in range(3)]
    yield codes
    with psycopg.connect(stack.endpoints.primary) as database:
        database.execute("DELETE FROM clicks WHERE code = ANY(%s)", [codes])


@settings(
    max_examples=times(8, 500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.tuples(st.text(CHARACTERS), st.integers(0, 2)), unique=True),
    size=st.integers(2, 9),
)
def test_clicks_that_come_bit_by_bit_are_those_that_come_at_once(
    stack: Stack,
    observer: DirectObserver,
    links: list[str],
    rows: list[tuple[str, int]],
    size: int,
) -> None:
    with (
        psycopg.connect(stack.endpoints.primary) as database,
        pytest.MonkeyPatch.context() as patch,
    ):
        database.execute("DELETE FROM clicks WHERE code = ANY(%s)", [links])
        database.execute(
            "INSERT INTO clicks (click_id, code, clicked_at)"
            " SELECT id, code, now() + n * interval '1 us'"
            " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS given (id, code, n)",
            [[click_id for click_id, _ in rows], [links[link] for _, link in rows]],
        )
        database.commit()
        patch.setattr("chaos.engine.observer.ROWS_AT_ONCE", size)
        own = [pair for pair in observer.read_back().clicks if pair[1] in links]
        assert sorted(own) == sorted((click_id, links[link]) for click_id, link in rows)


def test_clicks_are_never_all_in_memory(
    stack: Stack, observer: DirectObserver, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clicks(stack, links[0], 8000)
    monkeypatch.setattr("chaos.engine.observer.ROWS_AT_ONCE", 100)
    clicks = observer.read_back().clicks
    tracemalloc.start()
    try:
        count = sum(1 for _ in clicks)
        bit_by_bit = tracemalloc.get_traced_memory()[1]
        clicks = list(observer.read_back().clicks)
        assert len(clicks) == count >= 8000
        assert bit_by_bit < tracemalloc.get_traced_memory()[0] / 5
    finally:
        tracemalloc.stop()


def test_a_primary_that_goes_away_amid_the_clicks_is_trouble_and_no_short_answer(
    stack: Stack, observer: DirectObserver, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clicks(stack, links[0], 5000, times=64)  # 10 MB, more than waits between two processes
    monkeypatch.setattr("chaos.engine.observer.ROWS_AT_ONCE", 2)
    clicks = iter(observer.read_back().clicks)
    assert next(clicks)
    with psycopg.connect(stack.endpoints.primary) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s",
            [f"{CLICKS.partition('%s')[0]}%"],
        )
    with pytest.raises(StackError, match="did not answer"):
        list(clicks)


def make_clicks(stack: Stack, code: str, count: int, times: int = 1) -> None:
    """So many clicks on a link, whose ids are 32 characters long, or so many times that."""
    with psycopg.connect(stack.endpoints.primary) as database:
        database.execute(
            "INSERT INTO clicks (click_id, code, clicked_at)"
            " SELECT repeat(md5(i::text), %s), %s, now() FROM generate_series(1, %s) i",
            [times, code, count],
        )


def test_every_request_of_a_user_is_counted_and_none_of_the_labs_own(
    stack: Stack, observer: DirectObserver
) -> None:
    before = observer.counters()
    code = new_link(stack)
    for _ in range(5):
        follow(stack, code)
    requests.get(f"{stack.endpoints.url}/no-such-link", timeout=5)
    requests.get(f"{stack.endpoints.url}/no/such/page", timeout=5)
    for url in stack.endpoints.web.values():
        requests.get(f"{url}/readyz", timeout=5)
    after = observer.counters()
    assert moved(before, after, "requests") == 7
    assert moved(before, after, INCARNATION) == 0


def moved(before: Counters, after: Counters, what: str) -> float:
    """How far a counter of all web processes moved."""
    own = [name for name in after if name.startswith("web-") and name.endswith(f".{what}")]
    return sum(after[name] - before[name] for name in own)


@pytest.mark.parametrize("part", ["web-1", "redis", "replica", "worker"])
def test_a_part_that_starts_again_has_another_incarnation_and_no_other_part_has(
    stack: Stack, observer: DirectObserver, part: str
) -> None:
    before = observer.counters()
    stack.kill(part)
    stack.start(part)
    after = observer.counters()
    marks = [name for name in after if name.endswith(INCARNATION)]
    assert {name for name in marks if after[name] != before[name]} == {f"{part}.{INCARNATION}"}
