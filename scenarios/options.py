"""The fields that Linkstorm adds to Locust's start form and command line."""

from __future__ import annotations

import re
from argparse import Namespace
from urllib.parse import urlsplit

from locust.argument_parser import LocustArgumentParser

from chaos.model.traffic import Traffic
from scenarios.generator.traffic_plan import CURVES, MAX_KEYS, checked

MAX_IN_FLIGHT = 8000  # Locust raises the limit of open files to 10,000
MAX_RATE_PER_S = 100_000  # more would starve the rest of the process, the page included
MAX_RUN_TIME_S = 366 * 86_400
MAX_SEED = 2**63 - 1  # the largest that Locust's master can send to its workers
SHOWN_MAX = 40  # characters of a wrong value in a message
FIELD_NAMES = {"rate_per_s": "rate", "peak_per_s": "peak"}


def add_options(parser: LocustArgumentParser) -> None:
    """Add the traffic's fields, in the order in which the web page shows them."""
    default = Traffic(rate_per_s=200.0)
    parser.add_argument(
        "--rate",
        type=float,
        default=default.rate_per_s,
        help="Requests per second, in all",
    )
    parser.add_argument(
        "--curve",
        choices=CURVES,
        default=default.curve,
        help="How the rate moves over time",
    )
    parser.add_argument(
        "--peak", type=float, default=1000.0, help="Highest requests per second; not for steady"
    )
    parser.add_argument("--keys", type=int, default=default.keys, help="Number of links")
    parser.add_argument(
        "--hot-share",
        type=float,
        default=default.hot_share,
        help="Part of requests for the hot link, 0 to 1",
    )
    parser.add_argument("--seed", type=int, default=1, help="Same seed, same arrivals")
    parser.add_argument(
        "--max-in-flight",
        type=int,
        default=MAX_IN_FLIGHT,
        include_in_web_ui=False,
        help="Requests waiting for an answer in one process; beyond it, requests go unsent",
    )


def traffic_of(options: Namespace) -> Traffic:
    """Traffic from the start form or the command line; `ValueError` if a figure is wrong."""
    traffic = Traffic(
        rate_per_s=options.rate,
        curve=options.curve,
        peak_per_s=options.peak,
        keys=options.keys,
        hot_share=options.hot_share,
    )
    try:
        return checked(traffic)
    except ValueError as wrong:
        name, _, why = str(wrong).partition(":")
        raise ValueError(f"{FIELD_NAMES.get(name, name)}:{why}") from wrong


def check(options: Namespace) -> None:
    """Raise `ValueError` if no test can run with these options."""
    _within("keys", options.keys, 1, MAX_KEYS)
    highest = "rate" if options.curve == "steady" else "peak"
    traffic_of(options)
    _within(highest, getattr(options, highest), 0, MAX_RATE_PER_S)
    _within("seed", options.seed, 0, MAX_SEED)
    if options.max_in_flight < 1:
        raise ValueError(f"max_in_flight must be at least 1, not {options.max_in_flight}")
    if options.run_time is not None:
        _within("run_time", options.run_time, 1, MAX_RUN_TIME_S)


def check_host(host: str) -> None:
    """Raise `ValueError` if requests cannot be sent to this host."""
    try:
        parts = urlsplit(host)
        plain = parts.hostname and parts.port != 0 and parts.username is None
        known = parts.scheme in ("http", "https") and re.fullmatch(r"[!-~]+", host)
        sound = plain and known and not (parts.query or parts.fragment)
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(f"host must be like http://127.0.0.1:8080, not {host!r}")


def _within(name: str, value: float, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {str(value)[:SHOWN_MAX]}")
