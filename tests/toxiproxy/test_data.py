"""What toxics do to data, seen through sockets."""

import contextlib
import hashlib
import random
import socket
import threading
import time

import psutil
import pytest

from tests.toxiproxy.servers import (
    WAIT_S,
    Server,
    Wire,
    crosses,
    is_quiet,
    read,
    seconds_to_cross,
    wire,
)

LOOSE_S = 5.0  # far more than anything takes here, even on a busy machine
BULK_BYTES = 8_000_000


def ended(source: socket.socket) -> bool:
    """Whether the stream has ended in order."""
    return source.recv(1) == b""


def was_reset(source: socket.socket) -> bool:
    """Whether the connection was torn down by a RST."""
    try:
        source.recv(1)
    except ConnectionResetError:
        return True
    return False


def carried_whole(source: socket.socket, sink: socket.socket, data: bytes) -> bool:
    """Whether a lot of data arrives as it was sent."""
    sender = threading.Thread(target=source.sendall, args=(data,))
    sender.start()
    try:
        return hashlib.sha256(read(sink, len(data))).digest() == hashlib.sha256(data).digest()
    finally:
        sender.join()


def test_data_passes_both_ways(link: Wire) -> None:
    client, peer = link.connect()
    assert crosses(client, peer)
    assert crosses(peer, client)


def test_a_lot_of_data_passes_unchanged_both_ways(link: Wire) -> None:
    client, peer = link.connect()
    data = random.Random(1).randbytes(BULK_BYTES)
    assert carried_whole(client, peer, data)
    assert carried_whole(peer, client, data)


def test_many_connections_do_not_mix(link: Wire) -> None:
    pairs = [link.connect() for _ in range(150)]
    for number, (client, _) in enumerate(pairs):
        client.sendall(f"{number:04}".encode())
    assert [int(read(peer, 4)) for _, peer in pairs] == list(range(len(pairs)))


def test_what_the_upstream_says_first_arrives(link: Wire) -> None:
    with socket.create_connection(link.address, WAIT_S) as client:
        peer, _ = link.listener.accept()
        with peer:
            peer.sendall(b"welcome")
            assert read(client, 7) == b"welcome"


def test_a_close_is_passed_on_after_the_data(link: Wire) -> None:
    client, peer = link.connect()
    peer.sendall(b"last words")
    peer.close()
    assert read(client, 100) == b"last words"


def test_a_client_is_closed_when_the_upstream_cannot_be_reached(server: Server) -> None:
    with wire(server) as link:
        link.listener.close()
        with socket.create_connection(link.address, WAIT_S) as client:
            assert ended(client)


def test_a_disabled_proxy_drops_its_connections_and_listens_no_more(link: Wire) -> None:
    client, peer = link.connect()
    assert crosses(client, peer)
    link.server.call("PATCH", "/proxies/wire", {"enabled": False})
    assert ended(client)
    assert ended(peer)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(link.address, WAIT_S)
    link.server.call("PATCH", "/proxies/wire", {"enabled": True})
    assert crosses(*link.connect())


def test_a_deleted_proxy_drops_its_connections(link: Wire) -> None:
    client, peer = link.connect()
    link.server.call("DELETE", "/proxies/wire")
    assert ended(client)
    assert ended(peer)


def test_latency_delays_a_live_connection_until_it_is_removed(link: Wire) -> None:
    client, peer = link.connect()
    assert crosses(peer, client)
    link.server.add("wire", "latency", latency=80)
    assert 0.08 <= seconds_to_cross(peer, client) < LOOSE_S
    link.server.remove("wire", "latency_downstream")
    assert min(seconds_to_cross(peer, client) for _ in range(5)) < 0.08


def test_latency_delays_a_new_connection(link: Wire) -> None:
    link.server.add("wire", "latency", latency=80)
    client, peer = link.connect()
    assert 0.08 <= seconds_to_cross(peer, client) < LOOSE_S


def test_latency_is_for_one_stream_and_one_proxy_only(server: Server, link: Wire) -> None:
    with wire(server, "other") as other:
        server.add("wire", "latency", "upstream", latency=300)
        client, peer = link.connect()
        assert min(seconds_to_cross(peer, client) for _ in range(5)) < 0.3
        client, peer = other.connect()
        assert min(seconds_to_cross(client, peer) for _ in range(5)) < 0.3


def test_latencies_add_up(link: Wire) -> None:
    client, peer = link.connect()
    for name in "ab":
        toxic = {"type": "latency", "name": name, "attributes": {"latency": 60}}
        link.server.call("POST", "/proxies/wire/toxics", toxic).raise_for_status()
    assert 0.12 <= seconds_to_cross(peer, client) < LOOSE_S


def test_latency_does_not_limit_throughput(link: Wire) -> None:
    link.server.add("wire", "latency", "upstream", latency=200)
    client, peer = link.connect()
    begin_s = time.monotonic()
    assert carried_whole(client, peer, random.Random(2).randbytes(BULK_BYTES))
    assert 0.2 <= time.monotonic() - begin_s < LOOSE_S


def test_an_update_reaches_live_connections(link: Wire) -> None:
    link.server.add("wire", "latency", latency=30_000)
    client, peer = link.connect()
    change = {"attributes": {"latency": 20}}
    link.server.call("PATCH", "/proxies/wire/toxics/latency_downstream", change)
    assert 0.02 <= seconds_to_cross(peer, client) < LOOSE_S


def test_removing_latency_lets_go_at_once_what_was_on_its_way(link: Wire) -> None:
    link.server.add("wire", "latency", latency=30_000)
    client, peer = link.connect()
    for number in range(20):
        peer.sendall(f"{number:04}".encode())
        time.sleep(0.001)
    assert is_quiet(client)
    link.server.remove("wire", "latency_downstream")
    assert read(client, 80) == b"".join(f"{number:04}".encode() for number in range(20))
    assert crosses(peer, client)


def test_a_toxic_spares_the_links_that_its_toxicity_says(link: Wire) -> None:
    toxic = {"type": "timeout", "toxicity": 0}
    link.server.call("POST", "/proxies/wire/toxics", toxic).raise_for_status()
    pairs = [link.connect() for _ in range(20)]
    assert all(crosses(peer, client) for client, peer in pairs)


def test_toxicity_is_drawn_for_each_connection(link: Wire) -> None:
    toxic = {"type": "timeout", "toxicity": 0.5}
    link.server.call("POST", "/proxies/wire/toxics", toxic).raise_for_status()
    pairs = [link.connect() for _ in range(60)]
    for _, peer in pairs:
        peer.sendall(b"x")
    time.sleep(0.3)
    arrived = 0
    for client, _ in pairs:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            arrived += len(client.recv(1))
    assert 0 < arrived < len(pairs)


def test_bandwidth_holds_a_rate_in_kilobytes_a_second(link: Wire) -> None:
    link.server.add("wire", "bandwidth", rate=500)
    client, peer = link.connect()
    begin_s = time.monotonic()
    assert carried_whole(peer, client, bytes(200_000))
    assert 0.35 <= time.monotonic() - begin_s < LOOSE_S


def test_bandwidth_holds_its_rate_for_many_small_messages_too(link: Wire) -> None:
    link.server.add("wire", "bandwidth", rate=500)
    client, peer = link.connect()

    def send() -> None:
        for _ in range(2000):
            peer.sendall(bytes(100))

    sender = threading.Thread(target=send)
    begin_s = time.monotonic()
    sender.start()
    assert len(read(client, 200_000)) == 200_000
    assert 0.35 <= time.monotonic() - begin_s < LOOSE_S
    sender.join()


def test_bandwidth_zero_stops_the_stream(link: Wire) -> None:
    link.server.add("wire", "bandwidth", rate=0)
    client, peer = link.connect()
    peer.sendall(b"held")
    assert is_quiet(client)


def test_timeout_zero_stops_data_and_holds_the_connection_until_it_is_removed(link: Wire) -> None:
    client, peer = link.connect()
    link.server.add("wire", "timeout", timeout=0)
    peer.sendall(b"lost")
    assert is_quiet(client)
    assert crosses(client, peer)
    link.server.remove("wire", "timeout_downstream")
    assert ended(client)
    assert ended(peer)


def test_timeout_closes_a_silent_connection_after_its_time(link: Wire) -> None:
    client, peer = link.connect()
    begin_s = time.monotonic()
    link.server.add("wire", "timeout", timeout=100)
    assert ended(client)
    assert 0.1 <= time.monotonic() - begin_s < LOOSE_S
    assert ended(peer)


def test_timeout_starts_anew_with_every_chunk(link: Wire) -> None:
    client, peer = link.connect()
    link.server.add("wire", "timeout", timeout=1000)
    for _ in range(12):
        peer.sendall(b"lost")
        time.sleep(0.1)
    assert is_quiet(client)


def test_timeout_lets_a_close_pass(link: Wire) -> None:
    client, peer = link.connect()
    link.server.add("wire", "timeout", timeout=0)
    peer.close()
    assert ended(client)


def test_reset_peer_resets_a_new_connection_at_the_first_data(link: Wire) -> None:
    link.server.add("wire", "reset_peer", timeout=0)
    client, peer = link.connect()
    assert is_quiet(client)
    peer.sendall(b"lost")
    assert was_reset(client)


def test_reset_peer_waits_its_time(link: Wire) -> None:
    link.server.add("wire", "reset_peer", timeout=100)
    client, peer = link.connect()
    begin_s = time.monotonic()
    peer.sendall(b"lost")
    assert was_reset(client)
    assert 0.1 <= time.monotonic() - begin_s < LOOSE_S


def test_reset_peer_resets_both_sides_of_a_live_connection_too(our_link: Wire) -> None:
    """The original closes these in order instead."""
    client, peer = our_link.connect()
    assert crosses(client, peer)
    our_link.server.add("wire", "reset_peer", timeout=0)
    peer.sendall(b"lost")
    assert was_reset(client)
    assert was_reset(peer)


def test_an_answer_still_arrives_after_a_half_close(our_link: Wire) -> None:
    """The original closes both ways instead."""
    client, peer = our_link.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read(peer, 100) == b"question"
    assert crosses(peer, client, b"answer")
    peer.shutdown(socket.SHUT_WR)
    assert ended(client)


def test_a_half_close_does_not_overtake_delayed_data(our_link: Wire) -> None:
    our_link.server.add("wire", "latency", "upstream", latency=100)
    client, peer = our_link.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read(peer, 100) == b"question"
    assert crosses(peer, client, b"answer")


@pytest.mark.parametrize("toxic", [None, "latency"])
def test_a_reader_that_does_not_read_holds_the_sender_back(
    our_link: Wire, toxic: str | None
) -> None:
    if toxic:
        our_link.server.add("wire", toxic, "upstream", latency=1)
    client, peer = our_link.connect()
    client.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(100):
            sent += client.send(bytes(1 << 20))
    assert sent < 90 << 20
    assert len(read(peer, sent)) == sent


def test_nothing_is_left_of_connections_that_are_gone(our_link: Wire) -> None:
    process = psutil.Process(our_link.server.process.pid)
    our_link.server.add("wire", "latency", latency=20)
    before = process.num_fds()
    for _ in range(3):
        pairs = [our_link.connect() for _ in range(40)]
        for client, peer in pairs:
            client.sendall(b"x")
            peer.sendall(b"x")
            client.close()
            peer.close()
    deadline_s = time.monotonic() + LOOSE_S
    while process.num_fds() > before and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert process.num_fds() <= before
