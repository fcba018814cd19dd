"""The lab's client of Toxiproxy."""

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos.model.stack import LinkState, StackError
from chaos.runtimes import toxics
from chaos.runtimes.links import Links
from chaos.runtimes.toxics import Toxics, ToxicsError
from tests.chaos.toxiproxy.servers import EMBEDDED, ToxiproxyServer, free_port, running

AT = "127.0.0.1:9"


@pytest.fixture
def lab(server: ToxiproxyServer) -> Toxics:
    """A client with two links, `cache` and `queue`."""
    made = Toxics(server.url)
    made.populate(dict.fromkeys(("cache", "queue"), ("127.0.0.1:0", "127.0.0.1:9")))
    return made


def toxics_on(lab: Toxics) -> dict[str, Sequence[str]]:
    """The toxics of each link that has some."""
    return {name: link.toxics for name, link in lab.links().items() if link.toxics}


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_populate_makes_links_and_leaves_them_when_repeated(server: ToxiproxyServer) -> None:
    listen = f"127.0.0.1:{free_port()}"
    lab = Toxics(server.url)
    lab.populate({"cache": (listen, "127.0.0.1:9")})
    lab.add("cache", "latency", "downstream", {"latency": 5})
    lab.populate({"cache": (listen, "127.0.0.1:9")})
    proxy = server.get("/proxies/cache")
    assert (proxy["listen"], proxy["upstream"], proxy["enabled"]) == (listen, "127.0.0.1:9", True)
    assert len(proxy["toxics"]) == 1


def test_a_toxic_is_there_when_add_returns_and_gone_when_it_is_undone(
    server: ToxiproxyServer, lab: Toxics
) -> None:
    undo = lab.add("cache", "latency", "downstream", {"latency": 120.0, "jitter": 5})
    assert server.get("/proxies/cache/toxics") == [
        {
            **{"name": "latency_downstream", "type": "latency", "stream": "downstream"},
            **{"toxicity": 1.0, "attributes": {"latency": 120, "jitter": 5}},
        }
    ]
    assert server.get("/proxies/queue/toxics") == []
    undo()
    assert not toxics_on(lab)
    undo()


def test_undoing_what_is_gone_already_is_fine(server: ToxiproxyServer, lab: Toxics) -> None:
    undone_by_reset = lab.add("cache", "latency", "upstream", {"latency": 1})
    lab.reset()
    undone_by_reset()
    undone_by_deletion = lab.add("cache", "latency", "upstream", {"latency": 1})
    server.call("DELETE", "/proxies/cache").raise_for_status()
    undone_by_deletion()


def test_reset_opens_links_and_removes_toxics(server: ToxiproxyServer, lab: Toxics) -> None:
    lab.add("queue", "timeout", "upstream", {"timeout": 0})
    server.call("PATCH", "/proxies/queue", {"enabled": False}).raise_for_status()
    lab.reset()
    assert not toxics_on(lab)
    assert server.get("/proxies/queue")["enabled"]


def test_a_cut_link_is_closed_when_cut_returns_and_open_when_it_is_undone(
    server: ToxiproxyServer, lab: Toxics
) -> None:
    links = Links(lab, {})
    undo = links.cut("cache")
    assert not server.get("/proxies/cache")["enabled"]
    assert server.get("/proxies/queue")["enabled"]
    undo()
    assert server.get("/proxies/cache")["enabled"]
    undo()
    with pytest.raises(StackError, match="no link cash"):
        links.cut("cash")  # type: ignore[arg-type]


def test_every_link_is_listed_with_its_toxics(server: ToxiproxyServer, lab: Toxics) -> None:
    lab.add("cache", "latency", "downstream", {"latency": 120})
    lab.add("cache", "timeout", "upstream", {"timeout": 0})
    lab.put("queue", "127.0.0.1:9", is_open=False)
    assert lab.links() == {
        "cache": LinkState(True, ["timeout upstream", "latency downstream latency=120"], AT),
        "queue": LinkState(False, [], AT),
    }


def test_refusals_are_errors(server: ToxiproxyServer, lab: Toxics) -> None:
    with pytest.raises(ToxicsError, match="has no link 'cash'"):
        lab.add("cash", "latency", "upstream", {})
    with pytest.raises(ToxicsError, match="invalid toxic type"):
        lab.add("cache", "gremlin", "upstream", {})
    lab.add("cache", "latency", "upstream", {})
    with pytest.raises(ToxicsError, match="toxic already exists"):
        lab.add("cache", "latency", "upstream", {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ToxicsError, match="address already in use"):
            lab.populate({"primary": (listen, "127.0.0.1:9")})


def test_a_fraction_is_no_attribute(lab: Toxics) -> None:
    with pytest.raises(ValueError, match=r"latency=0.5 must be whole"):
        lab.add("cache", "latency", "upstream", {"latency": 0.5})
    assert not toxics_on(lab)


def test_a_failure_to_heal_is_an_error_and_can_be_tried_again() -> None:
    with running(EMBEDDED) as server:
        lab = Toxics(server.url)
        lab.populate({"cache": ("127.0.0.1:0", "127.0.0.1:9")})
        undo = lab.add("cache", "latency", "upstream", {"latency": 1})
    for _ in range(2):
        with pytest.raises(ToxicsError, match=r"latency_upstream is still on link cache.*running"):
            undo()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ToxicsError, match="cannot be reached; is it running"):
        Toxics(f"http://127.0.0.1:{free_port()}").links()


def test_a_server_that_does_not_answer_is_given_up(
    mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxics, "TIMEOUT_S", 0.2)
    for ask in (Toxics(mute).links, Toxics(mute).reset):
        with pytest.raises(ToxicsError, match=r"did not answer within 0.2 s"):
            ask()


def test_clients_of_two_servers_do_not_mix_in_threads(server: ToxiproxyServer) -> None:
    with running(EMBEDDED) as second:
        ready = threading.Barrier(2)

        def use(url: str, link: str) -> dict[str, Sequence[str]]:
            lab = Toxics(url)
            lab.populate({link: ("127.0.0.1:0", "127.0.0.1:9")})
            ready.wait(10)
            for _ in range(20):
                lab.add(link, "latency", "upstream", {"latency": 1})()
            lab.add(link, "latency", "upstream", {"latency": 1})
            return toxics_on(lab)

        with ThreadPoolExecutor() as pool:
            one = pool.submit(use, server.url, "cache")
            two = pool.submit(use, second.url, "queue")
            assert one.result() == {"cache": ["latency upstream latency=1"]}
            assert two.result() == {"queue": ["latency upstream latency=1"]}


@pytest.mark.parametrize("url", ["127.0.0.1:8474", "http://127.0.0.1", "https://127.0.0.1:1"])
def test_an_odd_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        Toxics(url)
