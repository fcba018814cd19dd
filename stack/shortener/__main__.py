"""`python -m stack.shortener web` or `worker`, which read their settings from the environment;
`settings` lists those."""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from stack.shortener import settings


def main(arguments: list[str]) -> int:
    """Run the process that the one argument names, until SIGTERM; 2 if it is not understood."""
    match arguments:
        case ["web"]:
            from stack.shortener import web  # each process imports only what it needs

            work = web.run(settings.read(settings.WebSettings))
        case ["worker"]:
            from stack.shortener import worker

            work = worker.run(settings.read(settings.WorkerSettings))
        case ["settings"]:
            sys.stdout.write(json.dumps(settings.catalogue(), indent=2) + "\n")
            return 0
        case _:
            sys.stderr.write("usage: python -m stack.shortener web|worker|settings\n")
            return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
