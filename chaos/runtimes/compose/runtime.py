"""A lab that is up already, used for one run and left healthy, with default settings."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from chaos.model.stack import Endpoints, Settings, Stack, StackError
from chaos.runtimes.compose.claim import claimed
from chaos.runtimes.compose.containers import LAB, Containers
from chaos.runtimes.compose.docker_engine import engine
from chaos.runtimes.compose.stack import ComposeStack
from chaos.runtimes.embedded.guardian_client import Guardian, guarded
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.topology import PARTS_AND_THIRD, WEB, endpoints_at
from chaos.runtimes.trouble import readable

TOKEN_FILE = "/run/linkstorm/token"
PRINT_CLOCK = "import time; print(time.monotonic())"
LEEWAY_S = 0.02


class ComposeRuntime:
    """Uses the containers that `make up` started."""

    name = "compose"
    can = ComposeStack.can

    @contextmanager
    def up(self, settings: Settings, logs: Path) -> Iterator[Stack]:
        """The stack, healed and with these settings; each part's output goes to `logs/<part>.log`.

        Afterwards it is healed again and has its default settings. If this process is killed, the
        next run or `linkstorm heal` does that.

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
                stack = _RunStack(containers, where, guardian, _Logs(containers, logs))
                with _left_healthy(stack):
                    stack.heal()
                    _check_clock(containers)
                    stack.configure(settings)
                    stack.read_versions()
                    yield stack


class _Logs:
    """The output of the parts during a run, in one file a part, as embedded parts write it."""

    def __init__(self, containers: Containers, folder: Path) -> None:
        self._containers = containers
        self._folder = folder
        self._read_to = {part: self._last_time(part) for part in PARTS_AND_THIRD}

    def collect(self) -> None:
        """Append the new lines; before each restart, so that no log is rotated away."""
        for part in PARTS_AND_THIRD:
            if rows := self._containers.log_since(part, self._read_to[part]):
                self._read_to[part] = rows[-1][0]
                with (self._folder / f"{part}.log").open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for _, line in rows)

    def _last_time(self, part: str) -> str:
        rows = self._containers.log_since(part, "")
        return rows[-1][0] if rows else ""


class _RunStack(ComposeStack):
    """The stack during a run: its logs are kept, and a guardian ends what the run starts."""

    def __init__(
        self, containers: Containers, endpoints: Endpoints, guardian: Guardian, logs: _Logs
    ) -> None:
        super().__init__(containers, endpoints, guardian.folder)
        self._guardian = guardian
        self._logs = logs

    def keep_logs(self) -> None:
        """Append what the containers logged since."""
        self._logs.collect()

    def configure(self, settings: Settings) -> None:
        """Keep what was logged so far, then restart web and worker with these settings."""
        self.keep_logs()
        super().configure(settings)

    def check(self) -> None:
        """Raise `PartDied` if a container ended unexpectedly, or the guardian did."""
        self._guardian.check()
        super().check()


def why_not_up() -> StackError | None:
    """The reason why there is no lab in containers of ours; None if there is one."""
    try:
        with engine() as client:
            ended = Containers(client).ended(LAB)
            return StackError("the lab in containers is stopped: `make up`") if ended else None
    except StackError as error:
        return error


def _check_clock(containers: Containers) -> None:
    """Have a container read its clock between two readings of ours.

    The record rests on one monotonic clock for both.

    Raises:
        StackError: the containers run on another kernel than this process.
    """
    before_s = time.monotonic()
    theirs_s = float(containers.exec(WEB[0], "python", "-Sc", PRINT_CLOCK))
    after_s = time.monotonic()
    if not before_s - LEEWAY_S <= theirs_s <= after_s + LEEWAY_S:
        raise StackError(
            "the containers have another clock than this process, as they run in a virtual machine "
            "or on another host: start experiments from the Chaos page, whose runs are there, too"
        )


@contextmanager
def _left_healthy(stack: ComposeStack) -> Iterator[None]:
    try:
        yield
    finally:
        stack.heal()
        stack.configure({})


def endpoints_of(containers: Containers) -> Endpoints:
    """Endpoints of the lab, observability included if present."""
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
    """The token of the control; access to the engine is enough to read it."""
    if own := os.environ.get("LINKSTORM_CONTROL_TOKEN_FILE"):
        return Path(own).read_text(encoding="utf-8").strip()
    try:
        return containers.exec(LAB, "cat", TOKEN_FILE)
    except StackError as error:
        raise StackError(f"the lab is not up: {error}; `make up` starts it") from error


def _grafana(containers: Containers, url: str | None) -> str | None:
    """Grafana's address with the account that may write annotations."""
    if url is None:
        return None
    environment = containers["grafana"].attrs["Config"]["Env"]
    given = dict(line.split("=", 1) for line in environment)
    return url.replace("//", f"//admin:{given['GF_SECURITY_ADMIN_PASSWORD']}@", 1)
