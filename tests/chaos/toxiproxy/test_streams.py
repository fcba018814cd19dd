"""Any stream through any chain of toxics that come and go arrives whole and in order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.toxiproxy.link import READ_AHEAD, Stage, ToxicLink
from chaos.toxiproxy.toxic import KINDS, Chunk, Release, Toxic, ToxicWrapper
from chaos.toxiproxy.toxics.slicer import Slicer
from chaos.toxiproxy.toxics.timeout import Timeout

SETTLED_S = 5.0


@dataclass
class FakeSocket:
    """A socket that keeps the data written to it."""

    got: bytearray = field(default_factory=bytearray)
    roomy: bool = True
    closed: bool = False

    def write(self, data: bytes) -> bool:
        assert not self.closed
        self.got += data
        return self.roomy

    def close(self) -> None:
        self.closed = True


class Chain:
    """A link between a pausable sender and such a socket."""

    def __init__(self) -> None:
        self.reading = True
        self.waiting = list[bytes]()
        self.sink = FakeSocket()
        self.link = ToxicLink(self.sink, [], self.hold, self.go_on)

    def hold(self) -> None:
        assert self.reading
        self.reading = False

    def go_on(self) -> None:
        assert not self.reading
        self.reading = True

    def send(self, data: bytes) -> None:
        """Send, as far as the sender is read."""
        self.waiting.append(data)
        self.read()

    def read(self) -> None:
        """Read what waits to be read."""
        while self.reading and self.waiting:
            self.link.receive(self.waiting.pop(0))

    def jam(self, jammed: bool) -> None:
        """Block the socket after the next write, or unblock it."""
        self.sink.roomy = not jammed
        if not jammed and not self.link.outlet.ready:
            self.link.outlet.resume()

    async def settled(self) -> None:
        """Return when the end has arrived."""
        ended = False
        async with asyncio.timeout(SETTLED_S):
            while not self.sink.closed:
                self.read()
                if not self.waiting and not ended:
                    ended = True
                    self.link.end()
                await asyncio.sleep(0.001)


def wrapper(name: str, kind: str, **attributes: int) -> ToxicWrapper:
    return ToxicWrapper(name, kind, "upstream", KINDS[kind](**attributes))


Ordered = tuple[str, dict[str, int]]
toxics: st.SearchStrategy[Ordered] = st.one_of(
    st.builds(lambda ms, jitter: ("latency", {"latency": ms, "jitter": jitter}),
              st.integers(0, 8), st.integers(0, 8)),
    st.builds(lambda rate: ("bandwidth", {"rate": rate}), st.integers(20, 5000)),
    st.builds(lambda size, variation, us:
              ("slicer", {"average_size": size, "size_variation": variation, "delay": us}),
              st.integers(-1, 90), st.integers(-1, 90), st.integers(0, 40)),
    st.builds(lambda ms: ("slow_close", {"delay": ms}), st.integers(0, 8)),
    st.just(("noop", {})),
)  # fmt: skip
names = st.sampled_from("abc")
steps = st.one_of(
    st.tuples(st.just("send"), st.binary(min_size=1, max_size=400)),
    st.tuples(st.just("add"), st.tuples(names, toxics)),
    st.tuples(st.just("update"), st.tuples(names, toxics)),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("jam"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0, 0.001, 0.003])),
)


async def played(script: Sequence[tuple[str, object]]) -> tuple[bytes, Chain]:
    """Play steps; return the data sent, and the chain after all arrived."""
    chain, sent, there = Chain(), bytearray(), dict[str, ToxicWrapper]()
    for step, what in script:
        match step, what:
            case "send", bytes(data):
                sent += data
                chain.send(data)
            case "add", (str(name), (str(kind), dict(attributes))) if name not in there:
                there[name] = wrapper(name, kind, **attributes)
                chain.link.add(there[name])
            case "update", (str(name), (str(kind), dict(attributes))) if (
                name in there and there[name].kind == kind
            ):
                there[name].toxic.set(attributes)
                chain.link.update(there[name])
            case "remove", str(name) if name in there:
                chain.link.remove(there.pop(name))
            case "jam", bool(jammed):
                chain.jam(jammed)
            case "wait", (int() | float()) as wait_s:
                await asyncio.sleep(wait_s)
        chain.read()
    chain.jam(False)
    await chain.settled()
    return bytes(sent), chain


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=40))
def test_a_stream_arrives_whole_and_in_order(script: list[tuple[str, object]]) -> None:
    sent, chain = asyncio.run(played(script))
    assert bytes(chain.sink.got) == sent
    assert (chain.link.received_bytes, chain.link.outlet.sent_bytes) == (len(sent), len(sent))
    assert not chain.link.holds_data


@dataclass
class Hoarder(Toxic):
    """Keeps everything for ever."""

    room = 7

    def next(self, chunk: Chunk, now_s: float) -> Release:
        return Release(float("inf"), chunk)


def test_the_sender_is_not_read_while_the_chain_is_full_and_is_when_it_is_not() -> None:
    async def fill() -> None:
        chain, hoard = Chain(), ToxicWrapper("full", "hoarder", "upstream", Hoarder())
        chain.link.add(hoard)
        for number in range(10):
            chain.send(bytes([number]))
        assert (chain.reading, len(chain.waiting)) == (False, 10 - Hoarder.room - READ_AHEAD)
        chain.link.remove(hoard)
        chain.read()
        assert chain.reading
        assert chain.sink.got == bytes(range(10))

    asyncio.run(fill())


def test_a_jammed_socket_stops_the_reading_at_once_without_toxics() -> None:
    async def jam() -> None:
        chain = Chain()
        chain.jam(True)
        chain.send(b"one")
        assert not chain.reading
        chain.jam(False)
        assert chain.reading

    asyncio.run(jam())


def test_toxics_that_come_and_go_on_a_jammed_link_hold_no_more_than_one_does() -> None:
    async def churn() -> None:
        chain = Chain()
        chain.jam(True)
        for _ in range(5000):
            chain.send(b"x")
        for _ in range(20):
            late = wrapper("late", "latency", latency=30_000)
            chain.link.add(late)
            chain.read()
            chain.link.update(late)
            chain.read()
            chain.link.remove(late)
            chain.read()
        assert chain.link.received_bytes < 1200
        chain.jam(False)
        chain.read()
        assert (len(chain.sink.got), chain.link.stages) == (5000, [])

    asyncio.run(churn())


def test_a_great_many_chunks_can_leave_at_once() -> None:
    async def burst() -> None:
        chain, late = Chain(), wrapper("a", "latency", latency=30_000)
        chain.link.add(late)
        chain.link.add(wrapper("b", "noop"))
        for _ in range(3000):
            chain.send(b"x")
        late.toxic.set({"latency": 0})
        chain.link.update(late)
        chain.read()
        assert len(chain.sink.got) == 3000

    asyncio.run(burst())


def test_a_stage_that_was_stopped_sets_no_timer() -> None:
    async def stop() -> None:
        chain = Chain()
        stage = Stage(
            ToxicWrapper("a", "timeout", "upstream", Timeout(timeout=5)), chain.link.outlet
        )
        stage.run()
        stage.stop()
        stage.run()
        await asyncio.sleep(0.02)
        assert not chain.sink.closed

    asyncio.run(stop())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4_000), st.integers(-5, 300), st.integers(-5, 300))
def test_slices_are_as_large_as_set_and_make_up_the_whole(
    size: int, average: int, variation: int
) -> None:
    toxic, slices = Slicer(average, variation), list[bytes]()
    rest: object = Chunk(bytes(size), 0.0)
    while isinstance(rest, Chunk):
        release = toxic.next(rest, 0.0)
        assert isinstance(release.item, Chunk)
        slices.append(release.item.data)
        rest = release.rest
    assert b"".join(slices) == bytes(size)
    assert all(0 < len(each) <= max(1, average + variation) for each in slices)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_has_whole_numbers_for_attributes(kind: str) -> None:
    assert all(type(value) is int for value in KINDS[kind]().attributes.values())
