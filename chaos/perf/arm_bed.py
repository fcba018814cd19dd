"""The arms: worktrees and what they run in, and their processes, started anew for each launch."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from chaos.model.stack import StackError
from chaos.perf.cores import Cores, on
from chaos.perf.databases import ArmDatabases, arm_databases
from chaos.perf.environments import arm_environment, built, run
from chaos.perf.launches import ARMS, ArmName
from chaos.perf.revisions import Revision, worktree
from chaos.perf.service_file import Service, filled
from chaos.perf.trouble import WrongInput
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.part_clients import http_status
from chaos.runtimes.trouble import readable


@dataclass(frozen=True)
class Comparison:
    """A service of a repository, and the two revisions of it that are compared."""

    service: Service
    here: Path  # the folder of the service file
    repository: Path
    base: Revision
    head: Revision

    def revision_of(self, arm: ArmName) -> Revision:
        """The revision that an arm runs."""
        return self.head if arm == "head" else self.base


@dataclass(frozen=True)
class RunningArm:
    """An arm that serves, and the first of its processes."""

    name: ArmName
    address: tuple[str, int]
    process: psutil.Process


@dataclass(frozen=True)
class ArmBed:
    """All that launches share."""

    of: Comparison
    cores: Cores
    databases: ArmDatabases
    folders: Mapping[ArmName, Path]  # of the service, in each arm's worktree
    values: Mapping[ArmName, Mapping[str, str]]  # of placeholders
    logs: Path

    @contextmanager
    def running(self, arms: Sequence[ArmName], draw: random.Random) -> Iterator[list[RunningArm]]:
        """Start arms at once, at ports drawn anew, each with new databases, seeded alike.

        They are returned in another order drawn anew: that of their places in the client.

        Raises:
            WrongInput: one of them does not start, or cannot be seeded.
        """
        self.databases.renew(arms)
        slots = [f"slot-{number}" for number in range(len(arms))]
        with reserved(slots) as ports:
            shuffled, places = draw.sample(arms, len(arms)), sorted(ports.values())
            of_arm = dict(zip(shuffled, draw.sample(places, len(places)), strict=True))
            parts = [self._part(arm, port) for arm, port in of_arm.items()]
            with _ended_afterwards(parts):
                with ThreadPoolExecutor(len(arms)) as threads:  # ends before any of them is stopped
                    started = [*threads.map(self._started, of_arm, of_arm.values(), parts)]
                yield draw.sample(started, len(started))

    def seeded_once(self, draw: random.Random) -> ArmBed:
        """The bed whose arms begin as they are once seeded, if the service file says so.

        Raises:
            WrongInput: an arm does not start, or cannot be seeded.
        """
        if not self.of.service.seed_once:
            return self
        arms = [*self.folders]
        with self.running(arms, draw):
            pass
        return replace(self, databases=self.databases.kept(arms))

    def _part(self, arm: ArmName, port: int) -> PartProcess:
        service, values = self.of.service, self._values_at(arm, port)
        return PartProcess(
            name=arm,
            folder=self.folders[arm],
            log=self.logs / f"{arm}.log",
            command=filled(service.command, values),
            ready=partial(_is_healthy, (HOST, port), service.health),
            environment=arm_environment() | _variables(service, values),
            ready_s=service.start_s,
        )

    def _started(self, arm: ArmName, port: int, part: PartProcess) -> RunningArm:
        """Start an arm on its core, and seed it; what asks if it is healthy is on another."""
        seed = self.of.service.seed
        with _named(self.of.revision_of(arm), arm):
            with on(self.cores.served):
                part.begin()
            part.wait_until_ready()
        if seed and not self.databases.are_seeded:
            command = filled(seed, self._values_at(arm, port))
            run(command, self.of.here, self.logs / "seed.log")
        assert part.process is not None
        return RunningArm(arm, (HOST, port), psutil.Process(part.process.pid))

    def _values_at(self, arm: ArmName, port: int) -> dict[str, str]:
        return {**self.values[arm], "port": str(port)}


@contextmanager
def _ended_afterwards(parts: Sequence[PartProcess]) -> Iterator[None]:
    """End all at once, with whatever they started."""
    with ExitStack() as ending:
        for part in parts:
            ending.callback(_wait_until_gone, part)
        try:
            yield
        finally:
            for part in parts:
                part.ask_to_end()


def _wait_until_gone(part: PartProcess) -> None:
    part.wait_until_gone()
    if members(part.folder):
        part.kill()


@contextmanager
def arm_bed(
    of: Comparison, cores: Cores, logs: Path, arms: Sequence[ArmName] = ARMS
) -> Iterator[ArmBed]:
    """Check out, build and check arms, and start their databases; nothing is left afterwards.

    The guardian sweeps the arms' processes and folders even if this process is killed.

    Raises:
        WrongInput: a revision cannot be built, or lacks what the service file asks for.
    """
    logs.mkdir(parents=True, exist_ok=True)
    logs = logs.resolve()
    with ExitStack() as entered:
        guardian = entered.enter_context(
            guarded(sys.executable, clean_environment(), logs / "guardian.log")
        )
        entered.enter_context(on(cores.others))
        below = of.here.resolve().relative_to(of.repository.resolve())
        trees = {
            arm: entered.enter_context(
                # names of one length: a longer path alone makes a program a little slower
                worktree(of.repository, of.revision_of(arm), guardian.folder / f"arm-{number}")
            )
            for number, arm in enumerate(random.sample(arms, len(arms)))
        }
        folders = {arm: trees[arm] / below for arm in arms}
        with readable(guardian.folder):
            databases = entered.enter_context(
                arm_databases(of.service.databases, arms, guardian.folder, logs)
            )
        values = {arm: _values(of, arm, folders[arm], databases, logs) for arm in arms}
        yield ArmBed(of, cores, databases, folders, values, logs)


def _values(
    of: Comparison, arm: ArmName, folder: Path, databases: ArmDatabases, logs: Path
) -> dict[str, str]:
    """The values of an arm's placeholders, once it is built and checked."""
    revision, service, log = of.revision_of(arm), of.service, logs / f"build-{arm}.log"
    if not folder.is_dir():
        raise WrongInput(f"{arm} ({revision.name}, {revision.short}) has no folder {folder.name}")
    values = {"here": str(of.here.resolve()), "worktree": str(folder), "python": sys.executable}
    values |= databases.values(arm)
    with _named(revision, arm):
        if service.build:
            values["environment"] = str(built(service.build, folder, values, log))
        if service.check:
            variables = _variables(service, {**values, "port": "65535"})
            run(filled(service.check, values), folder, log, variables=variables)
    return values


def _variables(service: Service, values: Mapping[str, str]) -> dict[str, str]:
    names, texts = service.variables.keys(), [*service.variables.values()]
    return dict(zip(names, filled(texts, values), strict=True))


@contextmanager
def _named(revision: Revision, arm: ArmName) -> Iterator[None]:
    """Say which revision it is that cannot be measured: two arms are of base."""
    side = "head" if arm == "head" else "base"
    try:
        yield
    except (WrongInput, StackError) as error:
        name = f"{side} ({revision.name}, {revision.short})"
        raise WrongInput(f"{name} cannot be measured: {error}") from error
    except OSError as error:
        raise WrongInput(f"{arm} cannot be started: {error.strerror}: {error.filename}") from error


def _is_healthy(address: tuple[str, int], path: str) -> bool:
    status = http_status(address, path)
    return status is not None and 200 <= status < 400
