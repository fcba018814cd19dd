"""Run the server: `python -m chaos.toxiproxy`.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 an address is taken, 2 usage or configuration.
"""

from __future__ import annotations

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

from chaos.toxiproxy import address, flags, request_bodies
from chaos.toxiproxy.api import VERSION, ToxiproxyApi
from chaos.toxiproxy.byte_metrics import ShownMetrics
from chaos.toxiproxy.errors import ApiError, ListenError
from chaos.toxiproxy.flags import Flag, switch
from chaos.toxiproxy.proxies import ProxyRegistry, ProxySpec

KEEP_ALIVE_S = 60
GRACE_S = 1
PROGRAM = "python -m chaos.toxiproxy"


def _port(text: str) -> int:
    try:
        return address.port_number(text)
    except ListenError as problem:
        raise ValueError(problem.message) from None


FLAGS = (
    Flag("host", "string", "127.0.0.1", "address of the API"),
    Flag("port", "string", 8474, "port of the API", _port),
    Flag("config", "string", "", "JSON file with the proxies to begin with"),
    Flag("seed", "int", None, "for the drawing of jitter, slices and toxicity", flags.whole),
    switch("proxy-metrics", "show bytes of proxies at /metrics"),
    switch("runtime-metrics", "show CPU and memory of the server at /metrics"),
    switch("version", "print the version"),
)
# Signals that Go's runtime ignores, and that end a Python process; real-time signals, too.
IGNORED = ("USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "IO", "PWR")
FIRST_REAL_TIME = 35


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    arguments = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    for ignored in _ignored():
        signal.signal(ignored, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="toxiproxy: %(message)s")
    random.seed(arguments["seed"])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = _configured(arguments["config"])
    shown = ShownMetrics(proxies=arguments["proxy-metrics"], runtime=arguments["runtime-metrics"])
    try:
        listener = address.listen(address.join(arguments["host"], arguments["port"]))
        uvloop.run(_serve(listener, wanted, shown))
    except ListenError as problem:
        _fail(problem.message, 1)


def _ignored() -> set[int]:
    real_time = {number for number in signal.valid_signals() if number >= FIRST_REAL_TIME}
    return real_time | {getattr(signal, f"SIG{name}", signal.SIGUSR1) for name in IGNORED}


async def _serve(listener: socket.socket, wanted: list[ProxySpec], shown: ShownMetrics) -> None:
    registry = ProxyRegistry()
    try:
        proxies = len(list(registry.populate(wanted)))
        sys.stdout.write(
            f"Toxiproxy {VERSION} API on http://{address.address_of(listener)}, {proxies} proxies\n"
        )
        sys.stdout.flush()
        await _http(registry, shown).serve([listener])
    finally:
        registry.stop()


def _http(registry: ProxyRegistry, shown: ShownMetrics) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            ToxiproxyApi(registry, shown).application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _arguments() -> dict[str, Any]:
    """The values of the flags, which are Toxiproxy's."""
    try:
        found = flags.values(FLAGS, sys.argv[1:])
    except flags.HelpWanted:
        sys.stderr.write(flags.usage(PROGRAM, FLAGS))
        sys.exit(0)
    except flags.FlagError as problem:
        sys.stderr.write(f"{problem}\n{flags.usage(PROGRAM, FLAGS)}")
        sys.exit(2)
    if found["version"]:
        sys.stdout.write(f"toxiproxy-server version {VERSION}\n")
        sys.exit(0)
    return found


def _configured(config: str) -> list[ProxySpec]:
    if not config:
        return []
    try:
        return request_bodies.new_proxies(Path(config).read_bytes())
    except OSError as problem:
        _fail(f"cannot read {config}: {problem.strerror}", 2)
    except ApiError as problem:
        _fail(f"{config}: {problem.message}", 2)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"toxiproxy: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
