"""The fields that Linkstorm adds to Locust's start form and command line."""

from __future__ import annotations

from argparse import Namespace

from locust.argument_parser import LocustArgumentParser

from chaos.model import Traffic
from scenarios.plan import CURVES, checked

MAX_IN_FLIGHT = 8000  # Locust raises the limit of open files to 10,000


def add_options(parser: LocustArgumentParser) -> None:
    """The traffic, as a user of the web page sees it."""
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
    return checked(
        Traffic(
            rate_per_s=options.rate,
            curve=options.curve,
            peak_per_s=options.peak,
            keys=options.keys,
            hot_share=options.hot_share,
        )
    )
