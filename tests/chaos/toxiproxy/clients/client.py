"""Steps of a user of toxiproxy-python: client.py API_HOST:PORT UPSTREAM; each step is a line."""

import socket
import sys
import time

from toxiproxy import Toxiproxy  # type: ignore[import-untyped]
from toxiproxy.exceptions import NotFound  # type: ignore[import-untyped]

KINDS = {
    "latency": {"latency": 80, "jitter": 0},
    "bandwidth": {"rate": 1000},
    "slow_close": {"delay": 10},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 10},
    "slicer": {"average_size": 10, "size_variation": 2, "delay": 10},
    "limit_data": {"bytes": 1000},
}


def echo_ms(listen: str) -> float:
    host, port = listen.split(":")
    begin_s = time.monotonic()
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"
    return (time.monotonic() - begin_s) * 1000


def tell(*what: object) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")


def main(api: str, upstream: str) -> None:
    host, port = api.split(":")
    toxiproxy = Toxiproxy()
    toxiproxy.update_api_consumer(host, int(port))
    tell("version", b"version" in toxiproxy.version())
    made = toxiproxy.create(upstream=upstream, name="made")
    tell("create", made.enabled and echo_ms(made.listen) > 0)
    for kind, attributes in KINDS.items():
        made.add_toxic(name=f"a_{kind}", type=kind, stream="upstream", attributes=attributes)
        tell("toxic", kind, made.get_toxic(f"a_{kind}").attributes == attributes)
        if kind == "latency":
            tell("slow", echo_ms(made.listen) >= 80)
        made.destroy_toxic(f"a_{kind}")
    made.add_toxic(name="gone", type="timeout", attributes={"timeout": 0})
    tell("reset", toxiproxy.reset(), echo_ms(made.listen) > 0)
    populated = toxiproxy.populate([{"name": "one", "listen": "127.0.0.1:0", "upstream": upstream}])
    tell("populate", populated[0].name, len(toxiproxy.proxies()))
    toxiproxy.destroy_all()
    tell("remove", len(toxiproxy.proxies()))
    try:
        made.destroy()
    except NotFound as problem:
        tell("refused", problem)


if __name__ == "__main__":
    main(*sys.argv[1:])
