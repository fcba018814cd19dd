"""Runs the server: `python -m chaos.runtimes.toxiproxy`.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 an address is taken, 2 usage or configuration.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
import uvloop

from chaos.runtimes.toxiproxy import address, orders
from chaos.runtimes.toxiproxy.api import VERSION, Api
from chaos.runtimes.toxiproxy.errors import ApiError, ListenError
from chaos.runtimes.toxiproxy.metrics import Shown
from chaos.runtimes.toxiproxy.registry import Registry, Wanted

KEEP_ALIVE_S = 60
GRACE_S = 1


def main() -> None:
    """Serve until told to stop."""
    arguments = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.WARNING, format="toxiproxy: %(message)s")
    random.seed(arguments.seed)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = _configured(arguments.config)
    shown = Shown(proxies=arguments.proxy_metrics, runtime=arguments.runtime_metrics)
    try:
        listener = address.listen(address.join(arguments.host, arguments.port))
        uvloop.run(_serve(listener, wanted, shown))
    except ListenError as problem:
        _fail(problem.message, 1)


async def _serve(listener: socket.socket, wanted: list[Wanted], shown: Shown) -> None:
    registry = Registry()
    try:
        proxies = len(list(registry.populate(wanted)))
        sys.stdout.write(
            f"Toxiproxy {VERSION} API on http://{address.address_of(listener)}, {proxies} proxies\n"
        )
        sys.stdout.flush()
        await _http(registry, shown).serve([listener])
    finally:
        registry.stop()


def _http(registry: Registry, shown: Shown) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            Api(registry, shown).application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _arguments() -> argparse.Namespace:
    """The options of Toxiproxy, which has them with one dash; two do as well."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos.runtimes.toxiproxy",
        description="A TCP proxy that breaks links on demand, with Toxiproxy's HTTP API.",
    )

    def option(name: str, **how: Any) -> None:
        parser.add_argument(f"-{name}", f"--{name}", **how)

    option("host", default="127.0.0.1", help="address of the API (%(default)s)")
    option("port", type=_port, default=8474, help="port of the API (%(default)s)")
    option("config", type=Path, help="JSON file with the proxies to begin with")
    option("seed", type=int, help="for the drawing of jitter, slices and toxicity")
    yes: dict[str, Any] = {"type": _yes, "nargs": "?", "const": True, "default": False}
    option("proxy-metrics", **yes, help="tell bytes of proxies at /metrics")
    option("runtime-metrics", **yes, help="tell what the server uses at /metrics")
    option("version", action="version", version=f"toxiproxy-server version {VERSION}")
    return parser.parse_args()


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= address.PORT_LIMIT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no port")


def _yes(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise argparse.ArgumentTypeError(f"{text} is neither true nor false")


def _configured(config: Path | None) -> list[Wanted]:
    if config is None:
        return []
    try:
        return orders.new_proxies(config.read_bytes())
    except OSError as problem:
        _fail(f"cannot read {config}: {problem.strerror}", 2)
    except ApiError as problem:
        _fail(f"{config}: {problem.message}", 2)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"toxiproxy: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
