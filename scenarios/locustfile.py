"""Linkstorm's traffic for Locust: `locust -f scenarios/locustfile.py --host URL`."""

from __future__ import annotations

import sys
from pathlib import Path

from locust import events

# Locust looks for modules beside this file and in the working directory, which may be anywhere.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scenarios.locust_user import OpenLoopUser, set_up
from scenarios.options import add_options

__all__ = ["OpenLoopUser"]

events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(set_up)  # type: ignore[no-untyped-call]
