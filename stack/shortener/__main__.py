"""`python -m stack.shortener web` or `worker`, which read their settings from the environment and
from the file that SHORTENER_SETTINGS_FILE names; `settings` lists those,
with `--markdown` as the page in docs. `migrate` only brings the schema up to date."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Coroutine


def main(arguments: list[str]) -> int:
    """Run the process that the one argument names, until SIGTERM; 2 if it is not understood."""
    # As process 1 of a container it would not hear this before it serves, and be killed later.
    # Nothing has begun until then, so nothing has to be ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    from stack.shortener import settings
    from stack.shortener.infra import spans

    spans.block_opentelemetry()

    match arguments:
        case ["web"]:
            from stack.shortener import web  # each process imports only what it needs

            return _run(web.run(settings.read(settings.WebSettings)))
        case ["worker"]:
            from stack.shortener.clicks import worker

            return _run(worker.run(settings.read(settings.WorkerSettings)))
        case ["migrate"]:
            from stack.shortener.infra.migrate import migrate

            chosen = settings.read(settings.KeySettings)
            return _run(migrate(chosen.primary_url, chosen.primary_timeout_s))
        case ["keys", *command]:
            from stack.shortener.api import api_key_commands

            return api_key_commands.run(command, settings.read(settings.KeySettings))
        case ["settings", "--markdown"]:
            from stack.shortener import settings_page

            sys.stdout.write(settings_page.markdown())
            return 0
        case ["settings"]:
            import json

            sys.stdout.write(json.dumps(settings.catalogue(), indent=2) + "\n")
            return 0
        case _:
            sys.stderr.write("usage: python -m stack.shortener web|worker|migrate|keys|settings\n")
            return 2


def _run(work: Coroutine[None, None, None]) -> int:
    import asyncio

    import uvloop

    from stack.shortener.infra.migrate import SchemaError

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(work)
        except SchemaError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
