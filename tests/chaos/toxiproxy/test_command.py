"""The server as a command: how it starts, complains and stops."""

import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.toxiproxy.servers import (
    EMBEDDED,
    WAIT_S,
    ToxiproxyServer,
    free_port,
    program,
    running,
)

COMMAND = program(EMBEDDED)


def complaint(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a server that cannot start."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=WAIT_S)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_soon_with_connections_open(
    any_server: ToxiproxyServer, number: signal.Signals
) -> None:
    with running(any_server.kind) as server, socket.create_server(("127.0.0.1", 0)) as upstream:
        body = {
            "name": "a",
            "listen": "127.0.0.1:0",
            "upstream": f"127.0.0.1:{upstream.getsockname()[1]}",
        }
        host, port = server.call("POST", "/proxies", body).json()["listen"].split(":")
        server.add("a", "latency", latency=30_000)
        with socket.create_connection((host, int(port)), WAIT_S) as client:
            peer, _ = upstream.accept()
            with peer:
                peer.sendall(b"never arrives")
                begin_s = time.monotonic()
                server.process.send_signal(number)
                assert server.process.wait(WAIT_S) == 0
                assert time.monotonic() - begin_s < 5
                assert client.recv(1) == b""


def test_it_begins_with_the_proxies_of_its_config(
    any_server: ToxiproxyServer, tmp_path: Path
) -> None:
    config, port = tmp_path / "proxies.json", free_port()
    proxies = [
        {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"},
        {"name": "b", "listen": "127.0.0.1:7", "upstream": "127.0.0.1:9", "enabled": False},
    ]
    config.write_text(json.dumps(proxies) + " trailing")
    with running(any_server.kind, port, f"-config={config}") as server:
        told = server.get("/proxies")
    assert {name: proxy["enabled"] for name, proxy in told.items()} == {"a": True, "b": False}


def test_there_are_no_metrics_unless_an_option_turns_them_on(any_server: ToxiproxyServer) -> None:
    with running(any_server.kind, free_port(), "-proxy-metrics=false") as server:
        assert server.call("GET", "/metrics").status_code == 404


def test_it_prints_its_version_and_ends(any_server: ToxiproxyServer) -> None:
    for option in ("-version", "--version"):
        done = subprocess.run(
            [*program(any_server.kind), option], capture_output=True, text=True, timeout=WAIT_S
        )
        assert done.returncode == 0
        assert re.fullmatch(r"toxiproxy-server version \S+\n", done.stdout)


def test_one_line_has_its_address() -> None:
    with subprocess.Popen([*COMMAND, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
        finally:
            process.terminate()
    assert re.fullmatch(r"Toxiproxy 2.12.0 API on http://127.0.0.1:\d+, 0 proxies\n", line)


def test_a_taken_port_is_named_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = f"toxiproxy: listen tcp 127.0.0.1:{port}: bind: address already in use\n"
        assert complaint(f"--port={port}") == (1, expected)


def test_a_port_taken_from_a_proxy_of_the_config_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = tmp_path / "proxies.json"
        config.write_text(json.dumps([{"name": "a", "listen": listen, "upstream": "x:1"}]))
        code, line = complaint(f"--port={free_port()}", f"--config={config}")
        assert (code, line) == (
            1,
            f"toxiproxy: listen tcp {listen}: bind: address already in use\n",
        )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot read {config}: No such file or directory"),
        ("[", "{config}: bad request body: unexpected EOF"),
        ('[{"name": "a"}]', "{config}: missing required field: upstream at proxy 1"),
    ],
)
def test_a_bad_config_is_explained_in_one_line(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    config = tmp_path / "proxies.json"
    if content is not None:
        config.write_text(content)
    code, line = complaint(f"--config={config}")
    assert (code, line) == (2, "toxiproxy: " + expected.format(config=config) + "\n")


@pytest.mark.parametrize("arguments", [["--port=many"], ["--port=65536"]])
def test_a_port_that_is_none_ends_with_2(arguments: list[str]) -> None:
    code, complained = complaint(*arguments)
    assert code == 2
    assert arguments[0].lstrip("-").split("=")[0] in complained


def first_words(kind: str, *arguments: str) -> tuple[int, str, str]:
    """Return exit code, output and error of a server with these arguments."""
    command = [*program(kind), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    printed = done.stdout.partition(" version")[0]
    return done.returncode, printed, done.stderr.partition("\n")[0].partition(" of ")[0]


VERSION = (0, "toxiproxy-server", "")
HELP = (0, "", "Usage")


def refused(words: str) -> tuple[int, str, str]:
    return 2, "", words


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-odd"], refused("flag provided but not defined: -odd")),
        (["--odd=1"], refused("flag provided but not defined: -odd")),
        (["-por=1"], refused("flag provided but not defined: -por")),
        (["-VERSION"], refused("flag provided but not defined: -VERSION")),
        (["---port"], refused("bad flag syntax: ---port")),
        (["-=x"], refused("bad flag syntax: -=x")),
        (["-port"], refused("flag needs an argument: -port")),
        (["-config"], refused("flag needs an argument: -config")),
        (["-seed=x"], refused('invalid value "x" for flag -seed: parse error')),
        (["-seed="], refused('invalid value "" for flag -seed: parse error')),
        (["-seed=1.5"], refused('invalid value "1.5" for flag -seed: parse error')),
        (["-seed=08"], refused('invalid value "08" for flag -seed: parse error')),
        (["-seed=1__0"], refused('invalid value "1__0" for flag -seed: parse error')),
        (["-seed", "-odd"], refused('invalid value "-odd" for flag -seed: parse error')),
        (
            [f"-seed={2**63}"],
            refused(f'invalid value "{2**63}" for flag -seed: value out'),
        ),
        (['-seed=a"\n'], refused(r'invalid value "a\"\n" for flag -seed: parse error')),
        (
            ["-proxy-metrics=yes"],
            refused('invalid boolean value "yes" for -proxy-metrics: parse error'),
        ),
        (
            ["-proxy-metrics="],
            refused('invalid boolean value "" for -proxy-metrics: parse error'),
        ),
        (["-version=x"], refused('invalid boolean value "x" for -version: parse error')),
        (["-help"], HELP),
        (["-h", "-odd"], HELP),
        (["--help=1"], HELP),
        (["-version=1"], VERSION),
        (["-version=T"], VERSION),
        (["-version", "-odd"], refused("flag provided but not defined: -odd")),
        (["-version", "word", "-odd"], VERSION),
        (["-version", "--", "-odd"], VERSION),
        (["-version", "-", "-odd"], VERSION),
        (["-config=", "-version"], VERSION),
        (["-config", "-version", "-version"], VERSION),
        (["-proxy-metrics=1", "--runtime-metrics=F", "-version"], VERSION),
        (["-version", "-version=0", "-version=true"], VERSION),
        (["-seed=017", "-version"], VERSION),
        (["-seed=-0x_1F", "-version"], VERSION),
        (["-seed=1_0", "-version"], VERSION),
    ],
)
def test_flags_are_those_of_go(
    any_server: ToxiproxyServer, arguments: list[str], expected: tuple[int, str, str]
) -> None:
    assert first_words(any_server.kind, *arguments) == expected


def test_a_switch_without_a_value_leaves_the_next_word_alone(any_server: ToxiproxyServer) -> None:
    port = free_port()
    with running(any_server.kind, port, "-proxy-metrics", "false", "-odd") as server:
        assert server.call("GET", "/metrics").status_code == 200


def test_an_empty_config_is_none(any_server: ToxiproxyServer) -> None:
    with running(any_server.kind, free_port(), "-config=") as server:
        assert server.get("/proxies") == {}


SURVIVED = ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "IO", "PWR", "PIPE", "WINCH"]


@pytest.mark.parametrize("number", [*(getattr(signal, f"SIG{name}") for name in SURVIVED), 35, 64])
def test_a_signal_that_ends_nothing_changes_nothing(
    any_server: ToxiproxyServer, number: int
) -> None:
    any_server.process.send_signal(number)
    for _ in range(3):
        assert any_server.get("/proxies") == {}
    assert any_server.process.poll() is None


def test_sighup_ends_it(any_server: ToxiproxyServer) -> None:
    with running(any_server.kind) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(WAIT_S) == -signal.SIGHUP


def test_an_unknown_option_ends_with_2(any_server: ToxiproxyServer) -> None:
    done = subprocess.run(
        [*program(any_server.kind), "-odd"], capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == 2
    assert "odd" in done.stderr
