"""`linkstorm status` and `heal` without containers: what killed labs left, and nothing else."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from chaos.runtimes.compose.docker_engine import NoLab, engine
from chaos.runtimes.embedded import lab_folders, leftovers
from chaos.runtimes.embedded.ports import HOST
from tests.support.running_labs import GONE_S, left_after, temporary_home
from tools.crashtest.leftover_watch import LeftoverWatch, watching

ROOT = Path(__file__).parents[3]
PART = (
    f"import socket, time; kept = socket.create_server(('{HOST}', 0)); print(flush=True); "
    "time.sleep(60)"
)
LAB = """
import subprocess, sys
from pathlib import Path
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.environment import clean_environment
with guarded(sys.executable, clean_environment(), Path(sys.argv[1])) as guardian:
    folder = guardian.folder / "redis"
    folder.mkdir()
    part = [sys.executable, "-c", sys.argv[2]]
    process = subprocess.Popen(part, cwd=folder, start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    print(guardian.folder, guardian.process.pid, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class SmallLab:
    """A lab of one part under a guardian."""

    process: subprocess.Popen[str]
    folder: Path
    guardian: int

    def kill(self) -> None:
        """It and its guardian, which nobody is left to tidy up after."""
        os.kill(self.guardian, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of its own, on a machine without a container engine."""
    with temporary_home() as home:
        monkeypatch.setenv("TMPDIR", str(home))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/no-engine")
        yield home


@pytest.fixture
def watch(home: Path) -> Iterator[LeftoverWatch]:
    with watching(home / "linkstorm-*") as watch:
        yield watch


@contextmanager
def small_lab(watch: LeftoverWatch, log: Path) -> Iterator[SmallLab]:
    with subprocess.Popen(
        [sys.executable, "-c", LAB, str(log), PART],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        watch.wait_for(process.pid)
        assert process.stdout is not None
        folder, guardian = process.stdout.readline().split()
        lab = SmallLab(process, Path(folder), int(guardian))
        yield lab


def looked_at(lab: SmallLab) -> leftovers.LeftoverLab:
    (found,) = labs_in(lab.folder)
    return found


def labs_in(folder: Path) -> list[leftovers.LeftoverLab]:
    """Those, and not the others that may be on this machine."""
    found = [each for each in lab_folders.found() if each.is_relative_to(folder)]
    return [leftovers.looked_at(each) for each in found]


def linkstorm(command: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "chaos", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_what_a_killed_lab_and_guardian_left_is_reported_and_mended(
    home: Path, watch: LeftoverWatch
) -> None:
    with small_lab(watch, home / "log") as lab:
        lab.kill()
        code, told, _ = linkstorm("status")
        assert code == 0
        assert re.search(
            rf"{lab.folder}: left by a lab that was killed: 1 processes \(redis 1\), 1 ports", told
        )
        assert "no Docker engine can be reached" in told
        code, told, _ = linkstorm("heal")
        assert code == 0
        assert f"{lab.folder}: 1 processes (redis 1)" in told
        assert "no Docker engine can be reached" in told
        assert not left_after(watch, GONE_S)
    assert not labs_in(home)


def test_an_engine_that_is_there_and_does_not_run_is_reported_and_no_socket_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with temporary_home() as home:
        with socket.socket(socket.AF_UNIX) as once:
            once.bind(f"{home}/engine")  # leaves a file that nobody answers at
        monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/engine")
        with pytest.raises(NoLab, match=r"no Docker engine can be reached .*refused"), engine():
            pass
    gc.collect()  # a socket that is found open is a warning, and so an error


@pytest.mark.parametrize(
    "host",
    [
        *("tcp://127.0.0.1:99999", "tcp://127.0.0.1:-1", "tcp://127.0.0.1:x", "tcp://[::1"),
        *("tcp://", "tcp://..:1", "tcp://a b:1", f"tcp://{'a' * 80}:1", "http://127.0.0.1"),
        *("fd://", "npipe://x", "ssh://nobody@127.0.0.1", "bar://x", "nonsense"),
        *("unix:///no/such/socket", f"unix:///{'a' * 200}"),
    ],
)
def test_an_engine_at_an_impossible_address_is_reported_with_the_address(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(NoLab) as refused, engine():
        pass
    assert f"no Docker engine can be reached at DOCKER_HOST={host} (" in str(refused.value)


@pytest.mark.parametrize(
    "certificates", [{"DOCKER_TLS_VERIFY": "1"}, {"DOCKER_CERT_PATH": "/no/such/folder"}]
)
def test_certificates_for_an_engine_that_are_not_there_are_reported(
    certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    for name, value in certificates.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NoLab, match="certificate"), engine():
        pass


def test_a_lab_at_work_is_reported_and_left_alone(home: Path, watch: LeftoverWatch) -> None:
    with small_lab(watch, home / "log") as lab:
        at_work = f"{lab.folder}: a lab at work, process {lab.process.pid}: 1 processes"
        assert leftovers.told(looked_at(lab)).startswith(at_work)
        assert leftovers.mended(looked_at(lab)).startswith(at_work)
        assert looked_at(lab).processes == {"redis": 1}


@pytest.mark.parametrize("dead", ["guardian", "lab"])
def test_a_lab_is_left_only_when_both_it_and_its_guardian_are_dead(
    home: Path, watch: LeftoverWatch, dead: str
) -> None:
    with small_lab(watch, home / "log") as lab:
        os.kill(lab.guardian, signal.SIGSTOP)  # it would tidy up
        if dead == "lab":
            lab.process.kill()
            lab.process.wait()
        else:
            os.kill(lab.guardian, signal.SIGKILL)
        assert looked_at(lab).alive
        leftovers.mended(looked_at(lab))
        assert looked_at(lab).processes == {"redis": 1}
        if dead == "lab":
            os.kill(lab.guardian, signal.SIGCONT)


def test_somebody_s_shell_in_the_folder_survives(home: Path, watch: LeftoverWatch) -> None:
    with small_lab(watch, home / "log") as lab:
        shell = f"import pty; pty.spawn(['sh', '-c', 'cd {lab.folder} && echo && exec sleep 60'])"
        with subprocess.Popen(
            [sys.executable, "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as terminal:
            assert terminal.stdout is not None
            terminal.stdout.readline()
            (person,) = psutil.Process(terminal.pid).children()
            lab.kill()
            leftovers.mended(looked_at(lab))
            assert person.is_running()
            assert not lab.folder.exists()
            person.kill()


@pytest.mark.parametrize("name", ["linkstorm-main", "linkstorm-abcdefgh"])
def test_a_folder_that_only_has_such_a_name_is_not_ours(home: Path, name: str) -> None:
    (home / name).mkdir()
    (home / name / "README.md").touch()
    assert not labs_in(home)


@pytest.mark.parametrize("name", ["linkstorm-abcdefgh", "linkstorm-abcdefgh-gone"])
def test_a_lab_killed_in_its_first_or_last_moment_is_removed(home: Path, name: str) -> None:
    (home / name).mkdir()
    if name.endswith("gone"):
        (home / name / "redis").mkdir()
    (left,) = labs_in(home)
    assert leftovers.mended(left) == f"{home / name}: only its folder: ended and removed"
    assert not (home / name).exists()
