"""Any stream through any chain of toxics that come and go arrives whole and in order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.runtimes.toxiproxy.link import Link, Outlet, Stage, Traffic
from chaos.runtimes.toxiproxy.toxic import KINDS, Dose, End, Item, Release, Toxic
from chaos.runtimes.toxiproxy.toxics.timeout import Timeout

SETTLED_S = 5.0


@dataclass
class Source(asyncio.Transport):
    """A socket to read from; it only knows whether it is being read."""

    reading: bool = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


@dataclass
class Sink(asyncio.Transport):
    """A socket to write to; it keeps what it got."""

    got: bytearray = field(default_factory=bytearray)

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.got += data


class Chain:
    """A link between such sockets."""

    def __init__(self) -> None:
        self.source, self.sink, self.traffic = Source(), Sink(), Traffic()
        self.ends: list[End] = []
        self.outlet = Outlet(self.sink, self.traffic, self.ends.append)
        self.link = Link(self.source, self.outlet, self.traffic, [])

    async def settled(self) -> None:
        """Return when the end has arrived."""
        async with asyncio.timeout(SETTLED_S):
            while not self.ends:
                await asyncio.sleep(0.001)


def dose(name: str, kind: str, **attributes: int) -> Dose:
    return Dose(name, kind, "upstream", KINDS[kind](**attributes))


Ordered = tuple[str, dict[str, int]]
doses: st.SearchStrategy[Ordered] = st.one_of(
    st.builds(lambda ms, jitter: ("latency", {"latency": ms, "jitter": jitter}),
              st.integers(0, 8), st.integers(0, 8)),
    st.builds(lambda rate: ("bandwidth", {"rate": rate}), st.integers(20, 5000)),
    st.just(("noop", {})),
)  # fmt: skip
names = st.sampled_from("abc")
steps = st.one_of(
    st.tuples(st.just("send"), st.binary(min_size=1, max_size=400)),
    st.tuples(st.just("add"), st.tuples(names, doses)),
    st.tuples(st.just("update"), st.tuples(names, doses)),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("jam"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0, 0.001, 0.003])),
)


async def played(script: Sequence[tuple[str, object]]) -> tuple[bytes, Chain]:
    """What was sent, and the chain after everything arrived."""
    chain, sent, kinds = Chain(), bytearray(), dict[str, str]()
    for step, what in script:
        match step, what:
            case "send", bytes(data):
                sent += data
                chain.link.receive(data)
            case "add", (str(name), (str(kind), dict(attributes))) if name not in kinds:
                kinds[name] = kind
                chain.link.add(dose(name, kind, **attributes))
            case "update", (str(name), (str(kind), dict(attributes))) if kinds.get(name) == kind:
                chain.link.update(dose(name, kind, **attributes))
            case "remove", str(name) if kinds.pop(name, None):
                chain.link.remove(name)
            case "jam", True:
                chain.outlet.pause()
            case "jam", False:
                chain.outlet.resume()
            case "wait", (int() | float()) as wait_s:
                await asyncio.sleep(wait_s)
    chain.link.receive(End.FINISHED)
    chain.outlet.resume()
    await chain.settled()
    return bytes(sent), chain


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=40))
def test_a_stream_arrives_whole_and_in_order(script: list[tuple[str, object]]) -> None:
    sent, chain = asyncio.run(played(script))
    assert bytes(chain.sink.got) == sent
    assert chain.ends == [End.FINISHED]
    assert (chain.traffic.received, chain.traffic.sent) == (len(sent), len(sent))
    assert chain.source.reading


class Hoarder(Toxic):
    """Keeps everything for ever."""

    def next(self, item: Item, arrived_s: float, now_s: float) -> Release:
        return Release(float("inf"), item)


def test_the_source_is_paused_while_the_chain_is_full_and_resumed_when_it_is_not() -> None:
    async def fill() -> None:
        chain = Chain()
        chain.link.add(Dose("full", "hoarder", "upstream", Hoarder()))
        pieces = 0
        while chain.source.reading:
            chain.link.receive(bytes(1000))
            pieces += 1
        assert 1 < pieces <= Hoarder.room_bytes // 1000 + 1
        chain.link.remove("full")
        assert chain.source.reading
        assert len(chain.sink.got) == pieces * 1000

    asyncio.run(fill())


def test_a_jammed_outlet_pauses_the_source_at_once_without_toxics() -> None:
    async def jam() -> None:
        chain = Chain()
        chain.outlet.pause()
        chain.link.receive(b"one")
        assert not chain.source.reading
        chain.outlet.resume()
        assert chain.source.reading

    asyncio.run(jam())


def test_a_great_many_chunks_can_leave_at_once() -> None:
    async def burst() -> None:
        chain, chunk, chunks = Chain(), bytes(Toxic.room_bytes), 1100
        chain.link.add(dose("a", "latency", latency=30_000))
        chain.link.add(dose("b", "noop"))
        for _ in range(chunks):
            chain.link.receive(chunk)
        chain.link.update(dose("a", "latency", latency=0))
        assert len(chain.sink.got) == chunks * len(chunk)
        assert chain.source.reading

    asyncio.run(burst())


def test_a_stage_that_was_stopped_sets_no_timer() -> None:
    async def stop() -> None:
        chain = Chain()
        stage = Stage(Timeout(timeout=5), chain.outlet)
        stage.run()
        stage.stop()
        stage.run()
        await asyncio.sleep(0.02)
        assert chain.ends == []

    asyncio.run(stop())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_has_whole_numbers_for_attributes(kind: str) -> None:
    assert all(type(value) is int for value in KINDS[kind]().attributes.values())
