"""The modules under the embedded runtime, without a stack."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from string import Template

import psycopg
import pytest
import redis

from chaos.model import StackError
from chaos.runtimes.account import Account
from chaos.runtimes.guardian import shared_memory
from chaos.runtimes.parts import Part, concurrently
from chaos.runtimes.ports import HOST, is_free, reserved
from chaos.runtimes.topology import LINKS, PARTS, clean_environment, port_names, proxies
from chaos.runtimes.trouble import last_lines, part_trouble, readable

ROOT = Path(__file__).parents[1]


def test_ports_of_two_labs_never_meet() -> None:
    with reserved(port_names()) as one, reserved(port_names()) as other:
        assert len({*one.values(), *other.values()}) == 2 * (len(PARTS) + len(LINKS))


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
    assert proxies(ports)["worker-primary"][1] == f"{HOST}:{ports['primary']}"
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
def test_what_was_refused_is_told_in_words(error: Exception, said: str) -> None:
    with pytest.raises(StackError, match=said), readable(Path("/lab")):
        raise error


def part(folder: Path, script: str) -> Part:
    """A part that is a shell script, and never gets ready."""
    return Part(
        "nginx", folder, folder / "nginx.log", ["sh", "-c", script], lambda: False, dict(os.environ)
    )


def test_a_part_that_ends_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"nginx ended with 3 before it was ready(.|\n)*  oh no"):
        part(tmp_path, "echo oh no; exit 3").start()


def test_a_part_that_does_not_get_ready_is_not_waited_for_longer_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.runtimes.parts.READY_S", 0.1)
    slow = part(tmp_path, "exec sleep 60")
    with pytest.raises(StackError, match=r"nginx took more than 0.1 s until it was ready"):
        slow.start()
    slow.kill()


def test_a_part_is_waited_for_no_longer_once_something_else_is_wrong(tmp_path: Path) -> None:
    def wrong() -> None:
        raise StackError("the disk is full")

    slow = part(tmp_path, "exec sleep 60")
    slow.meanwhile = wrong
    with pytest.raises(StackError, match="the disk is full"):
        slow.start()
    slow.kill()


def test_a_preparation_that_fails_or_hangs_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.runtimes.parts.RUN_S", 0.5)
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
    stranger = Account("stranger", uid=4_000_000, gid=4_000_000)
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    first = stranger.unreachable(inner)
    assert first is not None
    assert first in inner.parents
    assert stranger.unreachable(Path("/")) is None


@pytest.mark.parametrize("content", ["", "1\n/data\n", "1\n/data\n0\n5432\n\n127.0.0.1\n 1 2 3\n"])
def test_a_pid_file_without_shared_memory_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "primary").mkdir()
    (tmp_path / "primary" / "postmaster.pid").write_text(content)
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


def test_the_load_balancer_never_sends_a_request_twice() -> None:
    text = (ROOT / "stack/nginx/nginx.conf").read_text()
    filled = Template(text).safe_substitute(LISTEN="l:1", WEB_1="a:1", WEB_2="b:1")
    assert "proxy_next_upstream off;" in filled
    assert "server a:1 max_fails=0;" in filled
    assert "$http_host" in filled
    assert "${" not in filled
