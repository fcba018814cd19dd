"""A lab that is up already, used for one run and left as it was found: healthy, with defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from chaos.model.stack import Endpoints, Settings, Stack, StackError
from chaos.runtimes.compose.claim import claimed
from chaos.runtimes.compose.clock import check_clock
from chaos.runtimes.compose.containers import LAB, Containers
from chaos.runtimes.compose.docker_engine import engine
from chaos.runtimes.compose.logs import Logs
from chaos.runtimes.compose.stack import ComposeStack
from chaos.runtimes.embedded.guardian_client import Guardian, guarded
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.topology import WEB, endpoints_at
from chaos.runtimes.trouble import readable

TOKEN_FILE = "/run/linkstorm/token"


class ComposeRuntime:
    """Uses the containers that `make up` started."""

    name = "compose"

    @contextmanager
    def up(self, settings: Settings, logs: Path) -> Iterator[Stack]:
        """The stack, healed and with these settings; each part's output goes to `logs/<part>.log`.

        Afterwards it is healed again and has its default settings. If this process is killed, the
        next run or `linkstorm heal` sees to that.

        Raises:
            StackError: there is no lab, it is in use, or it cannot be healed.
        """
        with readable(logs):
            logs.mkdir(parents=True, exist_ok=True)
        with engine() as client, readable(logs):
            containers = Containers(client)
            where = endpoints_of(containers)
            with (
                claimed(where, logs.parent.name),
                guarded(sys.executable, clean_environment(), logs / "guardian.log") as guardian,
            ):
                stack = _RunStack(containers, where, guardian, Logs(containers, logs))
                with _left_healthy(stack):
                    stack.heal()
                    check_clock(containers, WEB[0])
                    stack.configure(settings)
                    stack.read_versions()
                    yield stack


class _RunStack(ComposeStack):
    """The stack during a run: its logs are kept, and a guardian ends what the run starts."""

    def __init__(
        self, containers: Containers, endpoints: Endpoints, guardian: Guardian, logs: Logs
    ) -> None:
        super().__init__(containers, endpoints, guardian.folder)
        self._guardian = guardian
        self._logs = logs

    def configure(self, settings: Settings) -> None:
        """Keep what was logged so far, then restart web and worker with these settings."""
        self._logs.collect()
        super().configure(settings)

    def check(self) -> None:
        """Raise `PartDied` if a container ended that nobody killed, or the guardian did."""
        self._guardian.check()
        super().check()


def is_up() -> bool:
    """Whether there is a lab in containers that is ours."""
    return why_not_up() is None


def why_not_up() -> StackError | None:
    """Why there is no lab in containers that is ours; None if there is."""
    try:
        with engine() as client:
            ended = Containers(client).ended(LAB)
            return StackError("the lab in containers is stopped: `make up`") if ended else None
    except StackError as error:
        return error


@contextmanager
def _left_healthy(stack: ComposeStack) -> Iterator[None]:
    try:
        yield
    finally:
        stack.heal()
        stack.configure({})


def endpoints_of(containers: Containers) -> Endpoints:
    """Where the lab answers, observability included as far as it is there."""
    addresses = containers.addresses()

    def page(name: str) -> str | None:
        return "http://{}:{}".format(*addresses[name]) if name in addresses else None

    return replace(
        endpoints_at(addresses),
        control=page(LAB),
        control_token=_token(containers),
        prometheus=page("prometheus"),
        grafana=_grafana(containers, page("grafana")),
    )


def _token(containers: Containers) -> str:
    """What proves to the desk that we may: whoever may talk to the engine can read it."""
    if own := os.environ.get("LINKSTORM_DESK_TOKEN_FILE"):
        return Path(own).read_text(encoding="utf-8").strip()
    try:
        return containers.ask(LAB, "cat", TOKEN_FILE)
    except StackError as error:
        raise StackError(f"the lab is not up: {error}; `make up` starts it") from error


def _grafana(containers: Containers, url: str | None) -> str | None:
    """Grafana's address with the account that may write annotations."""
    if url is None:
        return None
    environment = containers["grafana"].attrs["Config"]["Env"]
    given = dict(line.split("=", 1) for line in environment)
    return url.replace("//", f"//admin:{given['GF_SECURITY_ADMIN_PASSWORD']}@", 1)
