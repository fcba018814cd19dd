"""Labs in processes of their own, to be interrupted or killed, and their leftovers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from chaos.runtimes.embedded.os_user import OsUser
from tools.crashtest.lab_under_test import LabUnderTest, lab_home, lab_under_test
from tools.crashtest.leftover_watch import LeftoverWatch, watching

ROOT = Path(__file__).parents[2]
OTHERS_S = 60.0
GONE_S = 20.0  # patient, as tests run side by side; `make crashtest` measures how long it takes
LAB = """
import sys
from pathlib import Path
from chaos.model.stack import StackError
from chaos.runtimes.embedded.runtime import EmbeddedRuntime
print("imported", flush=True)
try:
    with EmbeddedRuntime().up({}, Path(sys.argv[1])) as stack:
        print(stack.endpoints.url, flush=True)
        sys.stdin.read()
except StackError as error:
    sys.exit(f"StackError: {error}")
"""


@dataclass(frozen=True)
class LabProcess:
    """A running lab; it ends with its standard input."""

    process: subprocess.Popen[str]
    watch: LeftoverWatch

    def line(self) -> str:
        """Read the next line: `imported`, then the address of the stack once it is ready."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def left_after(self, seconds: float) -> list[str]:
        """Return leftovers after this time, or an empty list as soon as there are none."""
        return left_after(self.watch, seconds)


def left_after(watch: LeftoverWatch, seconds: float) -> list[str]:
    """Return leftovers after this time, or an empty list as soon as there are none.

    Shared memory that nobody uses has a minute: it may be of a Postgres that another test killed.
    """
    left = watch.left_after(seconds)
    if all(each.startswith("segment shmid ") for each in left):
        return watch.left_after(OTHERS_S)
    return left


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Make a folder for TMPDIR that every user can enter, unlike pytest's."""
    home = Path(tempfile.mkdtemp(prefix="labs-", dir="/tmp")).resolve()
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home)


@contextmanager
def lab_process(
    home: Path,
    python: str = sys.executable,
    environment: Mapping[str, str] = {},
    wrapper: Sequence[str] = (),
    **popen: Any,
) -> Iterator[LabProcess]:
    """Start a lab whose folder lies in `home`."""
    with (
        watching(home / "linkstorm-*") as watch,
        subprocess.Popen(
            [*wrapper, python, "-c", LAB, str(home / "logs")],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(home), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        ) as process,
    ):
        watch.wait_for(process.pid)
        try:
            yield LabProcess(process, watch)
        finally:
            process.kill()


@contextmanager
def short_run() -> Iterator[LabUnderTest]:
    """Start a `linkstorm run` of a few seconds that prints JSON."""
    with (
        lab_home() as home,
        watching(home.cwd / "*", home.tmp / "*") as watch,
        lab_under_test(home, watch, "--format", "json") as lab,
    ):
        yield lab


def python_for(user: OsUser, home: Path) -> tuple[str, dict[str, str]] | None:
    """Return a Python with our packages that this user can run, and its environment, or None.

    Ours may lie in a closed home folder; a copy of its standard library then goes to `home`.
    """
    packages = Path(psutil.__file__).parents[1]
    if user.unreachable(packages) or user.unreachable(ROOT):
        return None
    environment = {"PYTHONPATH": f"{ROOT}:{packages}", "HOME": str(home)}
    if user.unreachable(Path(sys.base_prefix, "lib")) is None:
        return sys.executable, environment
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    unneeded = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*", "idlelib")
    for part in (f"lib/{version}", f"bin/{version}", *_shared_libraries()):
        source, target = Path(sys.base_prefix, part), home / "python" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=unneeded)
        else:
            shutil.copy(source, target)
    return str(home / "python" / "bin" / version), {
        **environment,
        "LD_LIBRARY_PATH": str(home / "python" / "lib"),
    }


def _shared_libraries() -> list[str]:
    return [f"lib/{path.name}" for path in Path(sys.base_prefix, "lib").glob("libpython*.so*")]
