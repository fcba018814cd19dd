"""The modules under the embedded runtime, without a stack."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from string import Template

import psycopg
import pytest
import redis

from chaos.model.stack import StackError
from chaos.runtimes.embedded.guardian import shared_memory
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.os_user import OsUser
from chaos.runtimes.embedded.part_commands import proxies
from chaos.runtimes.embedded.part_process import PartProcess, concurrently
from chaos.runtimes.embedded.ports import HOST, is_free, reserved
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.topology import LINKS, port_names
from chaos.runtimes.trouble import last_lines, part_trouble, readable

ROOT = Path(__file__).parents[3]


def test_ports_of_two_labs_never_meet() -> None:
    with reserved(port_names()) as one, reserved(port_names()) as other:
        assert len({*one.values(), *other.values()}) == 2 * len(port_names())


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with reserved(["a", "b"]) as ports:
        assert max(ports.values()) < first


def test_a_port_with_a_listener_is_not_free() -> None:
    with reserved(["a"]) as ports, socket.socket() as server:
        assert is_free(ports["a"])
        server.bind((HOST, ports["a"]))
        server.listen()
        assert not is_free(ports["a"])


def test_every_link_leads_to_its_part() -> None:
    ports = {name: number for number, name in enumerate(port_names(), start=10_000)}
    assert proxies(ports)["worker-primary"][1] == f"{HOST}:{ports['postgres-1']}"
    assert len({listen for listen, _ in proxies(ports).values()}) == len(LINKS)


def test_the_first_error_of_concurrent_calls_does_not_wait_for_the_others() -> None:
    never = threading.Event()

    def fail() -> None:
        raise StackError("no")

    with pytest.raises(StackError, match="no"):
        concurrently(lambda: never.wait(60), fail)
    never.set()


def test_concurrent_calls_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=5)
    concurrently(both.wait, both.wait)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk of"),
        (psycopg.errors.DiskFull("could not extend: No space left on device"), "set TMPDIR"),
        (PermissionError(errno.EACCES, "Permission denied", "/here"), "no permission for /here"),
        (OSError(errno.ENOEXEC, "Exec format error", "/bin/x"), "/bin/x is not made for this"),
        (redis.ConnectionError("refused"), "could not be started: refused"),
    ],
)
def test_what_was_refused_is_explained_in_words(error: Exception, said: str) -> None:
    with pytest.raises(StackError, match=said), readable(Path("/lab")):
        raise error


def part(folder: Path, script: str) -> PartProcess:
    """A part that is a shell script, and never gets ready."""
    return PartProcess(
        "nginx", folder, folder / "nginx.log", ["sh", "-c", script], lambda: False, dict(os.environ)
    )


def test_a_part_that_ends_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"nginx ended with 3 before it was ready(.|\n)*  oh no"):
        part(tmp_path, "echo oh no; exit 3").start()


def test_a_part_that_does_not_get_ready_is_not_waited_for_longer_than_that(
    tmp_path: Path,
) -> None:
    slow = replace(part(tmp_path, "exec sleep 60"), ready_s=0.1)
    with pytest.raises(StackError, match=r"nginx took more than 0.1 s until it was ready"):
        slow.start()
    slow.kill()


def test_a_part_that_was_asked_to_end_is_waited_for_and_not_asked_again(tmp_path: Path) -> None:
    slow = part(tmp_path, "trap 'echo asked; exit' TERM; echo begun; while :; do sleep 0.01; done")
    slow.ready = lambda: "begun" in slow.log.read_text()
    slow.begin()
    slow.wait_until_ready()
    slow.ask_to_end()
    slow.wait_until_gone()
    assert slow.log.read_text() == "begun\nasked\n"
    assert slow.state() == "down"


def test_a_part_is_waited_for_no_longer_once_something_else_is_wrong(tmp_path: Path) -> None:
    def wrong() -> None:
        raise StackError("the disk is full")

    slow = part(tmp_path, "exec sleep 60")
    slow.meanwhile = wrong
    with pytest.raises(StackError, match="the disk is full"):
        slow.start()
    slow.kill()


def test_a_preparation_that_fails_or_hangs_is_explained_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.runtimes.embedded.part_process.RUN_S", 0.5)
    with pytest.raises(StackError, match=r"nginx failed: sh ended with 4"):
        part(tmp_path, "").run(["sh", "-c", "exit 4"])
    with pytest.raises(StackError, match=r"nginx failed: sleep took more than 0.5 s"):
        part(tmp_path, "").run(["sleep", "60"])


def test_trouble_with_a_part_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    said = str(part_trouble("nginx", "did not start", log, tmp_path))
    assert said.startswith("nginx did not start\n")
    assert said.endswith("  line 998\n  line 999")
    assert "line 900" not in said


def test_the_end_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log") == []


def test_an_account_is_stopped_by_the_first_closed_folder(tmp_path: Path) -> None:
    stranger = OsUser("stranger", uid=4_000_000, gid=4_000_000)
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    first = stranger.unreachable(inner)
    assert first is not None
    assert first in inner.parents
    assert stranger.unreachable(Path("/")) is None


@pytest.mark.parametrize("content", ["", "1\n/data\n", "1\n/data\n0\n5432\n\n127.0.0.1\n 1 2 3\n"])
def test_a_pid_file_without_shared_memory_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "postgres-1").mkdir()
    (tmp_path / "postgres-1" / "postmaster.pid").write_text(content)
    assert shared_memory(tmp_path) == []


def test_parts_get_none_of_the_users_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTENER_CACHE_FILL", "direct")
    monkeypatch.setenv("PGOPTIONS", "-c x=y")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")  # traces take time
    monkeypatch.setenv("KEPT", "yes")
    environment = clean_environment()
    assert environment["KEPT"] == "yes"
    kept = {"SHORTENER_CACHE_FILL", "PGOPTIONS", "OTEL_EXPORTER_OTLP_ENDPOINT"} & environment.keys()
    assert not kept


LIMITED = """
import resource, sys
from pathlib import Path
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.embedded.guardian_client import guarded
resource.setrlimit(resource.{limit}, ({soft}, {hard}))
with guarded(sys.executable, clean_environment(), Path(sys.argv[1])):
    print(resource.getrlimit(resource.{limit})[0])
"""


def started_with(limit: str, soft: int, hard: int, log: Path) -> subprocess.CompletedProcess[str]:
    program = LIMITED.format(limit=limit, soft=soft, hard=hard)
    return subprocess.run(
        [sys.executable, "-c", program, str(log)], cwd=ROOT, capture_output=True, text=True
    )


def test_a_low_limit_of_open_files_is_raised_as_far_as_it_may_be(tmp_path: Path) -> None:
    assert started_with("RLIMIT_NOFILE", 256, 1500, tmp_path / "log").stdout == "1500\n"
    assert started_with("RLIMIT_NOFILE", 1500, 15_000, tmp_path / "log").stdout == "10000\n"
    assert started_with("RLIMIT_NOFILE", 12_000, 15_000, tmp_path / "log").stdout == "12000\n"


@pytest.mark.parametrize(
    ("limit", "hard", "said"),
    [
        ("RLIMIT_NOFILE", 256, "256 open files, and a lab needs 1,024: .*`ulimit -n 1024`"),
        ("RLIMIT_FSIZE", 1 << 20, r"1,024 kB in one file, and .*`ulimit -f 1048576`"),
    ],
)
def test_a_limit_that_is_too_low_is_an_error_before_anything_starts(
    limit: str, hard: int, said: str, tmp_path: Path
) -> None:
    refused = started_with(limit, hard, hard, tmp_path / "log")
    assert refused.stdout == ""
    assert re.search(f"StackError: this shell allows {said}", refused.stderr)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("name", [b"two\nlines", b"a\ttab", b"latin \xe4"])
def test_a_tmpdir_that_cannot_be_written_in_a_line_is_refused(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with (
        pytest.raises(StackError, match="TMPDIR is "),
        guarded(sys.executable, clean_environment(), tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize("name", ["two words", "quo'te\"s", "ümlaut", "l" * 100 + "/" + "m" * 100])
def test_a_tmpdir_of_any_other_name_will_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    with guarded(sys.executable, clean_environment(), tmp_path / "log") as guardian:
        assert guardian.folder.parent == folder
        assert guardian.folder.is_dir()
    assert not [*folder.iterdir()]


@pytest.mark.parametrize(
    ("there", "why"), [(None, "No such file or directory"), ("file", "Not a directory")]
)
def test_a_tmpdir_that_is_no_folder_is_named(
    there: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        (tmp_path / "tmp").write_text(there)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with (
        pytest.raises(StackError, match=f"can be made in {tmp_path}/tmp: {why}"),
        guarded(sys.executable, clean_environment(), tmp_path / "log"),
    ):
        pass


def test_the_load_balancer_never_sends_a_request_twice() -> None:
    text = (ROOT / "stack/nginx/nginx.conf").read_text()
    filled = Template(text).safe_substitute(LISTEN="l:1", WEB_1="a:1", WEB_2="b:1")
    assert "proxy_next_upstream off;" in filled
    assert "server a:1 max_fails=0;" in filled
    assert "$http_host" in filled
    assert "${" not in filled
