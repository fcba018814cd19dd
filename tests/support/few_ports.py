"""A generator that runs out of ports: `python -m tests.support.few_ports` prints its figures.

It runs with its server in a network namespace of its own, with a loopback and a handful of ports.
Exit code 77 means that this user may not create one.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path

from chaos.model.arrivals import arrivals
from chaos.model.traffic import Traffic
from scenarios.generator.dispatcher import Dispatcher
from scenarios.generator.http_client import HttpClient
from scenarios.generator.open_loop import Exchange
from tests.support.scenarios_lab import server

FIRST, LAST = 50_000, 50_019
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # unshare(2)
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # netdevice(7)
NOT_HERE = 77


def into_a_network_with_few_ports() -> None:
    """Move this process into such a network; `OSError` where that is forbidden."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if os.geteuid() else 0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{FIRST} {LAST}", encoding="ascii")


def main() -> None:
    """Send requests to a server that never answers, until no port is left."""
    try:
        into_a_network_with_few_ports()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_HERE)
    seen: list[Exchange] = []
    with server("silent") as shop:
        client = HttpClient(shop.url)
        dispatcher = Dispatcher(client, [client.request("GET", "/any")], 0.4, 1000, [seen.append])
        dispatcher.run(arrivals(Traffic(200.0, keys=1), 0.6, seed=3), time.monotonic())
        dispatcher.drain()
        client.close()
    outcomes = [exchange.answer.outcome for exchange in seen]
    json.dump({"generator": asdict(dispatcher.counts.summary()), "outcomes": outcomes}, sys.stdout)


if __name__ == "__main__":
    main()
