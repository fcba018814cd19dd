"""The HTTP API, as Toxiproxy 2.12 answers it."""

import re
import socket
import time
from typing import Any

import pytest
import requests

from tests.chaos.toxiproxy.servers import (
    ORIGINAL,
    WAIT_S,
    ProxiedLink,
    ToxiproxyServer,
    crosses,
    free_port,
    read,
)

PROXY = {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"}
LATENCY = {"type": "latency", "attributes": {"latency": 5}}


def same(answer: requests.Response, status: int, error: str) -> None:
    """The answer is this refusal; what follows a colon may be worded differently."""
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status)
    assert body["error"].startswith(error)


def create(server: ToxiproxyServer, **changes: Any) -> Any:
    answer = server.call("POST", "/proxies", PROXY | changes)
    assert answer.status_code == 201
    return answer.json()


def test_a_new_proxy_listens_and_is_listed(server: ToxiproxyServer) -> None:
    made = create(server)
    assert made["listen"].startswith("127.0.0.1:")
    assert made["listen"] != "127.0.0.1:0"
    assert (made["name"], made["upstream"], made["enabled"]) == ("a", "127.0.0.1:9", True)
    assert made["toxics"] == []
    assert server.get("/proxies") == {"a": made}
    assert server.get("/proxies/a") == made


def test_a_deleted_proxy_is_gone(server: ToxiproxyServer) -> None:
    create(server)
    answer = server.call("DELETE", "/proxies/a")
    assert (answer.status_code, answer.content) == (204, b"")
    same(server.call("GET", "/proxies/a"), 404, "proxy not found")


def test_a_proxy_can_be_created_disabled_and_keeps_its_address_as_written(
    server: ToxiproxyServer,
) -> None:
    made = create(server, enabled=False, listen="localhost:12345")
    assert (made["enabled"], made["listen"]) == (False, "localhost:12345")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_proxy_can_be_updated(server: ToxiproxyServer, method: str) -> None:
    made = create(server)
    server.call("POST", "/proxies/a/toxics", LATENCY)
    answer = server.call(method, "/proxies/a", {"upstream": "127.0.0.1:10", "name": "ignored"})
    assert answer.status_code == 200
    after = answer.json()
    assert after["upstream"] == "127.0.0.1:10"
    assert (after["name"], after["listen"], after["enabled"]) == ("a", made["listen"], True)
    assert [toxic["name"] for toxic in after["toxics"]] == ["latency_downstream"]


def test_a_proxy_can_be_disabled_and_enabled(server: ToxiproxyServer) -> None:
    listen = create(server)["listen"]
    for enabled in (False, False, True, True):
        after = server.call("PATCH", "/proxies/a", {"enabled": enabled}).json()
        assert (after["enabled"], after["listen"]) == (enabled, listen)


def test_reset_enables_proxies_and_removes_toxics(server: ToxiproxyServer) -> None:
    create(server)
    server.call("POST", "/proxies/a/toxics", LATENCY)
    server.call("PATCH", "/proxies/a", {"enabled": False})
    answer = server.call("POST", "/reset")
    assert (answer.status_code, answer.content) == (204, b"")
    after = server.get("/proxies/a")
    assert (after["enabled"], after["toxics"]) == (True, [])


def test_populate_leaves_a_proxy_with_the_same_addresses_alone(server: ToxiproxyServer) -> None:
    made = create(server)
    server.call("POST", "/proxies/a/toxics", LATENCY)
    wanted = [PROXY | {"listen": made["listen"]}, PROXY | {"name": "b", "enabled": False}]
    answer = server.call("POST", "/populate", wanted)
    assert answer.status_code == 201
    first, second = answer.json()["proxies"]
    assert [toxic["name"] for toxic in first["toxics"]] == ["latency_downstream"]
    assert (second["name"], second["enabled"]) == ("b", False)


def test_populate_replaces_a_proxy_with_another_upstream_without_its_toxics(
    server: ToxiproxyServer,
) -> None:
    made = create(server)
    server.call("POST", "/proxies/a/toxics", LATENCY)
    wanted = [PROXY | {"listen": made["listen"], "upstream": "127.0.0.1:10"}]
    (after,) = server.call("POST", "/populate", wanted).json()["proxies"]
    assert (after["upstream"], after["toxics"]) == ("127.0.0.1:10", [])


def test_populate_returns_what_it_did_before_it_failed(server: ToxiproxyServer) -> None:
    taken = create(server)["listen"]
    wanted = [PROXY | {"name": "b"}, PROXY | {"name": "c", "listen": taken}]
    answer = server.call("POST", "/populate", wanted)
    same(answer, 500, f"listen tcp {taken}: bind: address already in use")
    assert [proxy["name"] for proxy in answer.json()["proxies"]] == ["b"]
    assert set(server.get("/proxies")) == {"a", "b"}


def test_populate_checks_every_proxy_before_it_makes_one(server: ToxiproxyServer) -> None:
    answer = server.call("POST", "/populate", [PROXY, {"name": "b"}])
    same(answer, 400, "missing required field: upstream at proxy 2")
    assert answer.json()["proxies"] is None
    assert server.get("/proxies") == {}


def test_a_new_toxic_has_a_default_name_stream_toxicity_and_attributes(
    server: ToxiproxyServer,
) -> None:
    create(server)
    answer = server.call("POST", "/proxies/a/toxics", {"type": "latency"})
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"latency": 0, "jitter": 0},
    }
    assert server.get("/proxies/a/toxics") == [answer.json()]
    assert server.get("/proxies/a/toxics/latency_downstream") == answer.json()


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", {"latency": 7, "jitter": 3}),
        ("bandwidth", {"rate": 10}),
        ("slow_close", {"delay": 8}),
        ("slicer", {"average_size": 6, "size_variation": 2, "delay": 1}),
        ("limit_data", {"bytes": 12}),
        ("timeout", {"timeout": 9}),
        ("reset_peer", {"timeout": 4}),
    ],
)
def test_every_kind_of_toxic_takes_its_attributes(
    server: ToxiproxyServer, kind: str, attributes: dict[str, int]
) -> None:
    create(server)
    toxic = {"type": kind, "stream": "upstream", "attributes": attributes, "toxicity": 0.5}
    made = server.call("POST", "/proxies/a/toxics", toxic).json()
    assert made == toxic | {"name": f"{kind}_upstream"}


def test_toxics_are_listed_upstream_first_in_the_order_they_came(server: ToxiproxyServer) -> None:
    create(server)
    for name, stream in [("1", "downstream"), ("2", "upstream"), ("3", "downstream")]:
        server.call("POST", "/proxies/a/toxics", LATENCY | {"name": name, "stream": stream})
    assert [toxic["name"] for toxic in server.get("/proxies/a/toxics")] == ["2", "1", "3"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_update_changes_only_attributes_and_toxicity(
    server: ToxiproxyServer, method: str
) -> None:
    create(server)
    before = server.call("POST", "/proxies/a/toxics", LATENCY).json()
    change = {"attributes": {"jitter": 3}, "toxicity": 0.5, "stream": "upstream", "name": "b"}
    answer = server.call(method, "/proxies/a/toxics/latency_downstream", change)
    expected = before | {"toxicity": 0.5, "attributes": {"latency": 5, "jitter": 3}}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_a_removed_toxic_is_gone(server: ToxiproxyServer) -> None:
    create(server)
    server.call("POST", "/proxies/a/toxics", LATENCY)
    answer = server.call("DELETE", "/proxies/a/toxics/latency_downstream")
    assert (answer.status_code, answer.content) == (204, b"")
    assert server.get("/proxies/a/toxics") == []


def test_a_taken_address_is_refused(server: ToxiproxyServer) -> None:
    taken = create(server)["listen"]
    answer = server.call("POST", "/proxies", PROXY | {"name": "b", "listen": taken})
    same(answer, 500, f"listen tcp {taken}: bind: address already in use")
    assert set(server.get("/proxies")) == {"a"}


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]"])
def test_a_wildcard_listens_on_ipv4_and_ipv6(server: ToxiproxyServer, host: str) -> None:
    listen = create(server, listen=f"{host}:0")["listen"]
    assert re.fullmatch(r"\[::\]:\d+", listen)
    port = int(listen.rpartition(":")[2])
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, port), WAIT_S).close()


def test_an_ipv6_address_listens_on_ipv6_alone(server: ToxiproxyServer) -> None:
    port = int(create(server, listen="[::1]:0")["listen"].rpartition(":")[2])
    socket.create_connection(("::1", port), WAIT_S).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), WAIT_S)


@pytest.mark.parametrize(("host", "kept"), [("0.0.0.0", 0), ("[::]", 1), ("127.0.0.1", 1)])
def test_populating_again_keeps_toxics_where_the_address_is_as_it_is_shown(
    server: ToxiproxyServer, host: str, kept: int
) -> None:
    wanted = [PROXY | {"listen": f"{host}:{free_port()}"}]
    for _ in range(2):
        (after,) = server.call("POST", "/populate", wanted).json()["proxies"]
        assert after["toxics"] == [] or kept
        server.call("POST", "/proxies/a/toxics", LATENCY).raise_for_status()
        (again,) = server.call("POST", "/populate", wanted).json()["proxies"]
        assert len(again["toxics"]) == kept
        server.call("DELETE", "/proxies/a").raise_for_status()


@pytest.mark.parametrize("opened", ["[", '{"a":'])
@pytest.mark.parametrize(("depth", "status"), [(100, 201), (1000, 201), (9999, 201), (10_000, 400)])
def test_a_body_may_be_nested_10_000_deep(
    server: ToxiproxyServer, opened: str, depth: int, status: int
) -> None:
    nested = opened * depth + "1" + {"[": "]", '{"a":': "}"}[opened] * depth
    body = f'{{"name":"a","upstream":"x","enabled":false,"deep":{nested}}}'
    answer = server.session.post(f"{server.url}/proxies", body, timeout=WAIT_S)
    assert answer.status_code == status
    if status == 400:
        words = f"bad request body: invalid character '{opened[0]}' exceeded max depth"
        assert answer.json()["error"] == words


@pytest.mark.parametrize("number", ["1" * 5000, "1" + "0" * 400, "-" + "9" * 5000])
def test_a_number_of_any_length_is_told_from_one_that_fits(
    server: ToxiproxyServer, number: str
) -> None:
    create(server)
    for body in (f'{{"toxicity":{number}', f'{{"attributes":{{"latency":{number}}}'):
        answer = server.session.post(
            f"{server.url}/proxies/a/toxics", body + ',"type":"latency"}', timeout=WAIT_S
        )
        assert answer.status_code == 400
        assert f"cannot unmarshal number {number} into Go struct field" in answer.json()["error"]
    listen = {"listen": f"127.0.0.1:{number}"}
    same(server.call("PATCH", "/proxies/a", listen), 500, f"address {number}: invalid port")
    assert server.get("/proxies")["a"]["toxics"] == []


def test_a_toxicity_that_fits_goes_there_and_back(server: ToxiproxyServer) -> None:
    create(server)
    for number in (0.00005, 1e-07, 3.4028235e38, 0.1, 1, 0):
        toxic = LATENCY | {"toxicity": number}
        assert server.call("POST", "/proxies/a/toxics", toxic).json()["toxicity"] == number
        server.remove("a", "latency_downstream")


def test_browsers_are_refused(server: ToxiproxyServer) -> None:
    answer = server.call("GET", "/proxies", headers={"User-Agent": "Mozilla/5.0 (X11)"})
    assert (answer.status_code, answer.text) == (403, "User agent not allowed\n")


def test_the_version_is_shown(server: ToxiproxyServer) -> None:
    answer = server.call("GET", "/version")
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    if server.kind == ORIGINAL:
        return  # one that was built from source calls itself "git"
    assert answer.text == '{"version": "2.12.0"}\n'


def test_the_bytes_that_went_through_are_counted(
    server: ToxiproxyServer, link: ProxiedLink
) -> None:
    client, peer = link.connect()
    assert crosses(client, peer, b"question")
    assert crosses(peer, client, b"the answer")
    for each in (client, peer):
        each.close()
    proxy = server.get("/proxies/wire")
    labels = f'listener="{proxy["listen"]}",proxy="wire",upstream="{proxy["upstream"]}"'
    wanted = {
        f'toxiproxy_proxy_{what}_bytes_total{{direction="{way}",{labels}}} {size}'
        for what in ("received", "sent")
        for way, size in (("upstream", 8), ("downstream", 10))
    }
    for _ in range(200):  # a connection counts when it ends
        lines = server.call("GET", "/metrics").text.replace(".0\n", "\n").splitlines()
        if wanted <= set(lines):
            return
        time.sleep(0.01)
    raise AssertionError(f"{wanted} not in {lines}")


def test_a_connection_that_is_open_is_not_counted_yet(
    server: ToxiproxyServer, link: ProxiedLink
) -> None:
    client, peer = link.connect()
    assert crosses(client, peer)
    assert server.get("/proxies/wire")["listen"] not in server.call("GET", "/metrics").text


def test_metrics_are_answered_to_any_method(server: ToxiproxyServer) -> None:
    for method in ("GET", "HEAD", "PUT"):
        answer = server.call(method, "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4; charset=utf-8")


def test_every_answered_request_has_an_id_of_its_own(server: ToxiproxyServer) -> None:
    ids = {server.call("GET", "/version").headers["X-Toxiproxy-Request-Id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9a-v]{20}", each) for each in ids)


def test_a_request_that_is_no_http_is_refused(server: ToxiproxyServer) -> None:
    """Toxiproxy's words for it are those of Go's HTTP server; ours are uvicorn's."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), WAIT_S) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert read(connection, 100_000).startswith(b"HTTP/1.1 400 ")


def test_where_a_proxy_without_a_host_listens(server: ToxiproxyServer) -> None:
    """Toxiproxy: on every interface. Ours: on the loopback one; a lab is not for the network."""
    everywhere, loopback = r"\[::\]:\d+", r"127\.0\.0\.1:\d+"
    expected = everywhere if server.kind == ORIGINAL else loopback
    assert re.fullmatch(expected, create(server, listen="")["listen"])
    assert re.fullmatch(expected, create(server, name="b", listen=f":{free_port()}")["listen"])


def test_an_unknown_name_is_refused(server: ToxiproxyServer) -> None:
    """Toxiproxy's words name the resolver of the machine, too."""
    answer = server.call("POST", "/proxies", PROXY | {"listen": "no-such-host.invalid:0"})
    assert answer.status_code == 500
    assert re.fullmatch(
        "listen tcp: lookup no-such-host.invalid( on .*)?: .*", answer.json()["error"]
    )
