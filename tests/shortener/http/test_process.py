"""Start, stop, log and settings of web and worker as processes in a container."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.support.shortener_process import ShortenerProcess, eventually, process, scraped

BOTH = pytest.mark.parametrize("kind", ["web", "worker"])
WATCH_OPENS = """
import os, sys
WRITING = os.O_WRONLY | os.O_RDWR
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & WRITING:
        os.write(2, b"opened for writing: %a\\n" % (args[0],))
    elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "tempfile.mkstemp"):
        os.write(2, b"changed: %a\\n" % (args,))
sys.addaudithook(watch)
"""


def handles_sigterm(process: ShortenerProcess) -> bool:
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def as_process_1() -> None:
    """Ignore SIGTERM, as process 1 of a container does unless it has a handler."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stopped_s(process: ShortenerProcess) -> float:
    """Seconds from SIGTERM to the end, which must be a good one."""
    told_s = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(timeout=30) == 0
    return time.monotonic() - told_s


@BOTH
def test_sigterm_is_handled_before_there_is_anything_to_stop(kind: str) -> None:
    with process(kind, before=as_process_1) as started:
        eventually(lambda: handles_sigterm(started))
        assert stopped_s(started) < 2
        assert started.popen.communicate() == ("", "")  # it had hardly begun


@BOTH
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_sigterm_ends_it_soon_whatever_its_servers_do(kind: str, silent: bool) -> None:
    with process(kind, silent=silent, before=as_process_1) as started:
        eventually(started.serves)
        assert stopped_s(started) < 3
        last = started.popen.communicate()[0].splitlines()[-1]
    assert json.loads(last)["event"] == "stopped"


def test_a_request_under_way_is_answered_before_the_end() -> None:
    slow = {"SHORTENER_CACHE_TIMEOUT_S": "1", "SHORTENER_SHUTDOWN_TIMEOUT_S": "3"}
    statuses: list[int] = []
    with process("web", slow, silent=True, before=as_process_1) as web:
        eventually(web.serves)

        def ask() -> None:
            statuses.append(requests.get(f"{web.url}/code", timeout=10).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)
        assert stopped_s(web) < 5
        asking.join()
    assert statuses == [503]


@BOTH
def test_a_line_of_the_log_is_out_before_the_process_can_be_killed(kind: str) -> None:
    with process(kind) as started:
        assert started.popen.stdout is not None
        first = started.popen.stdout.readline()  # while it runs: nothing has made it flush
        started.popen.kill()
        rest = started.popen.communicate()[0]
    events = [json.loads(line)["event"] for line in [first, *rest.splitlines()]]
    assert set(events) <= {"database_down", "worker_retrying"}


@BOTH
def test_it_opens_no_file_for_writing(kind: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH_OPENS)
    with process(kind, {"PYTHONPATH": str(tmp_path)}) as started:
        eventually(started.serves)
        for path in ("/metrics", "/code", "/api/links/code"):
            requests.get(f"{started.url}{path}", timeout=5)
        stopped_s(started)
        assert started.popen.communicate()[1] == ""


@BOTH
def test_it_serves_on_every_address_when_it_is_set_to(kind: str) -> None:
    with process(kind, host="0.0.0.0") as started:
        eventually(started.serves)
        port = int(started.url.rpartition(":")[2])
        assert requests.get(f"http://127.0.0.2:{port}/healthz", timeout=5).ok


def test_what_it_serves_on_must_be_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "{}:{}".format(*taken.getsockname())
        with process("web", {"SHORTENER_LISTEN": address}) as web:
            assert web.popen.wait(timeout=15) != 0
            assert "address already in use" in web.popen.communicate()[0]  # the log


def fill_of(process: ShortenerProcess) -> str:
    eventually(process.serves)
    ((_, labels),) = scraped(process.url, "shortener_build_info")
    return dict(labels)["fill"]


def test_a_restart_reads_the_settings_file_again(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    named = {"SHORTENER_SETTINGS_FILE": str(file)}
    for text, fill in [(None, "swr"), ("SHORTENER_CACHE_FILL=lease\n", "lease"), ("", "swr")]:
        if text is not None:
            file.write_text(text)
        with process("web", named) as web:
            assert fill_of(web) == fill


def test_the_environment_wins_over_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("SHORTENER_CACHE_FILL=lease\n")
    environment = {"SHORTENER_SETTINGS_FILE": str(file), "SHORTENER_CACHE_FILL": "lock"}
    with process("web", environment) as web:
        assert fill_of(web) == "lock"


@BOTH
def test_a_wrong_settings_file_ends_it_with_2(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("SHORTENER_CACHE_FIL=swr\n")
    with process(kind, {"SHORTENER_SETTINGS_FILE": str(file)}) as started:
        _, said = started.popen.communicate(timeout=15)
        assert started.popen.returncode == 2
    assert said == (
        "invalid setting: SHORTENER_CACHE_FIL: there is no such setting; "
        f"did you mean SHORTENER_CACHE_FILL? (in {file})\n"
    )
