"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chaos.engine.run import run
from tests.support.fake_stack import World, herd_order, lab

ROOT = Path(__file__).parents[3]


def linkstorm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaos", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run directory a flaw, made on the fake stack."""
    directory = tmp_path_factory.mktemp("runs")
    for flaw in ("", "click lost", "one unsent", "part dies"):
        world = World(frozenset([flaw] if flaw else []))
        run(herd_order(world), lab(world), directory / (flaw or "sound"), lambda *_: None)
    return directory


@pytest.fixture(scope="module")
def judged(runs: Path) -> Path:
    """The sound run, with the verdict that a report is made from."""
    assert linkstorm("judge", runs / "sound").returncode == 0
    return runs / "sound"


def test_the_version_is_shown() -> None:
    told = linkstorm("--version")
    assert told.returncode == 0
    assert told.stdout.startswith("linkstorm 0.")


def test_a_run_directory_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    told = linkstorm("run", "thundering-herd", "--into", tmp_path)
    assert told.returncode == 2
    assert "--into takes a new directory" in told.stderr
    assert not [*tmp_path.iterdir()]


def test_a_taken_port_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = linkstorm("locust", "--locust-port", str(port), "--runs", tmp_path)
    assert told.returncode == 3
    assert f"port {port} is taken" in told.stderr
    assert f"--locust-port {port + 1}" in told.stderr
    assert not [*tmp_path.iterdir()]


def test_list_prints_each_experiment_with_its_question_and_arms() -> None:
    told = linkstorm("list")
    assert told.returncode == 0
    assert "thundering-herd" in told.stdout
    assert "How many requests reach the database?" in told.stdout
    assert "singleflight" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "lists"),
    [
        (["run", "thunder"], "thundering-herd"),
        (["run", "thundering-herd", "--arm", "magic"], "singleflight"),
        (["run", "thundering_herd"], "did you mean thundering-herd?"),
        (["run", "thundering-herd", "--set", "CACHE_TTL=1"], "did you mean CACHE_TTL_S"),
        (["run", "thundering-herd", "--set", "CACHE_TTL_S"], "NAME=VALUE"),
        (["run", "thundering-herd", "--set", "CACHE_TTL_S=soon"], "CACHE_TTL_S"),
        (["run", "thundering-herd", "--set", "CACHE_FILL=lock"], "do not differ"),
        (["run", "thundering-herd", "--format", "yaml"], "junit"),
        (["run", "thundering-herd", "--seed", "x"], "seed"),
        (
            ["run", "thundering-herd", "--seed", "-1"],
            "--seed must be from 0 to 9007199254740991, not -1",
        ),
        (["run", "thundering-herd", "--seed", "9007199254740992"], "--seed must be from 0"),
        (["run", "thundering-herd", "--seed", "1.5"], "valid integer"),
        (["judge", "no/such/run"], "no/such/run"),
        (["judge", "tests"], "tests is no run directory"),
        (["report", "no/such/run"], "no/such/run"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_input_is_refused_with_what_exists_and_exit_code_2(
    arguments: list[str], lists: str
) -> None:
    refused = linkstorm(*arguments)
    assert refused.returncode == 2
    assert lists in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("sound", "PASS", 0),
        ("click lost", "FAIL", 1),
        ("one unsent", "INVALID", 3),
        ("part dies", "INVALID", 3),
    ],
)
def test_the_exit_code_is_that_of_the_verdict_and_stdout_is_json_alone(
    runs: Path, name: str, verdict: str, code: int
) -> None:
    judged = linkstorm("judge", runs / name, "--format", "json")
    result = json.loads(judged.stdout)
    assert (result["verdict"], judged.returncode) == (verdict, code)
    assert judged.stderr == ""


def test_judging_again_gives_the_same_result_from_the_files_alone(runs: Path) -> None:
    first, again = (linkstorm("judge", runs / "sound", "--format", "json") for _ in range(2))
    assert first.stdout == again.stdout
    assert json.loads((runs / "sound" / "verdict.json").read_text()) == json.loads(first.stdout)


def test_the_table_names_every_arm_and_the_end_of_a_dead_parts_log(runs: Path) -> None:
    table = linkstorm("judge", runs / "sound").stdout
    assert all(arm in table for arm in ("direct", "lock", "lease", "xfetch", "swr"))
    assert not [line for line in table.splitlines() if line.endswith(" ")]
    assert "MemoryError" in linkstorm("judge", runs / "part dies").stdout


def test_junit_is_xml_with_a_case_for_each_claim(runs: Path) -> None:
    judged = linkstorm("judge", runs / "click lost", "--format", "junit")
    cases = ElementTree.fromstring(judged.stdout).iter("testcase")
    assert sum(case.find("failure") is not None for case in cases) == 1


def test_a_report_is_written_from_the_files_alone(judged: Path, tmp_path: Path) -> None:
    svg = tmp_path / "picture.svg"
    told = linkstorm("report", judged, "--picture", svg)
    assert told.returncode == 0
    assert Path(told.stdout.strip()).read_text(encoding="utf-8").startswith("<!doctype html>")
    ElementTree.fromstring(svg.read_text(encoding="utf-8"))


def test_a_verdict_stands_when_nobody_reads_it(runs: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code, said = judged_to(writer, runs / "click lost")
    assert code == 1
    assert "the result is kept in" in said


SIGNALLED_AT_THE_VERY_END = """
import os, signal, sys
class Last:
    def __del__(self):
        os.write(2, b"struck")
        os.kill(os.getpid(), signal.{name})
last = Last()
from chaos.cli.entry import main
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_while_python_winds_up_does_not_change_the_exit_code(name: str) -> None:
    program = SIGNALLED_AT_THE_VERY_END.format(name=name)
    listed = subprocess.run(
        [sys.executable, "-c", program, "list"], capture_output=True, text=True, timeout=60
    )
    assert (listed.stderr, listed.returncode) == ("struck", 0)


SIGNALLED_IN_A_FINALISER = """
import os, signal, time
from chaos.cli import entry, run_command
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0)
def running(*_):
    Last()
    time.sleep(50)
run_command._on_record = running
entry.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_that_falls_into_a_finaliser_is_not_lost(name: str, tmp_path: Path) -> None:
    program = SIGNALLED_IN_A_FINALISER.format(name=name)
    arguments = ["run", "thundering-herd", "--runs", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=40
    )
    assert (run.stdout, run.returncode) == ("", 130)
    assert "interrupted: healed and stopped" in run.stderr
    assert "ignored" not in run.stderr


SIGNALLED_WHILE_IT_JUDGES = """
import os, signal, threading
import duckdb
from chaos.cli import entry
from chaos.engine import run
from chaos.record import reader
def judging(_run):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.{name})).start()
    duckdb.execute("SET enable_progress_bar = false")  # after one query, the next would go on
    duckdb.execute("SELECT sum(hash(range)) FROM range(10000000000000)").fetchall()
run.run = lambda *_: None
reader.read_evidence = judging
entry.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_ends_the_judging_of_a_run_at_once(name: str, tmp_path: Path) -> None:
    program = SIGNALLED_WHILE_IT_JUDGES.format(name=name)
    arguments = ["run", "thundering-herd", "--runtime", "embedded", "--runs", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert (run.stdout, run.returncode) == ("", 130)
    assert "interrupted: healed and stopped" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_result_that_cannot_be_printed_is_no_pass(runs: Path) -> None:
    code, said = judged_to(os.open("/dev/full", os.O_WRONLY), runs / "sound")
    assert code == 3
    assert "stdout cannot be written" in said


@pytest.mark.parametrize(
    "command",
    [["list"], ["--help"], ["--version"], ["run", "--help"], ["status"], ["report", "{run}"],
     ["judge", "{run}"], ["judge", "{run}", "--format", "json"]],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_printed_is_trouble_and_explained_in_words(
    judged: Path, command: list[str]
) -> None:
    told = shell(f"{in_shell(command, judged)} > /dev/full")
    assert told.returncode == 3
    assert "stdout cannot be written: No space left on device" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "command", [["list"], ["--help"], ["status"], ["judge", "{run}"]], ids=" ".join
)
@pytest.mark.parametrize("streams", [">&-", "| true", "<&- >&- 2>&-", "2>&- | cat", "2> /dev/full"])
def test_streams_that_are_closed_or_full_change_no_exit_code(
    runs: Path, command: list[str], streams: str
) -> None:
    told = shell(f"set -o pipefail; {in_shell(command, runs / 'sound')} {streams}")
    assert told.returncode == 0
    assert "Traceback" not in told.stderr


def test_bad_input_is_2_even_if_nothing_can_be_printed() -> None:
    for streams in ("2>&-", "2> /dev/full", ">&- 2>&-"):
        assert shell(f"{in_shell(['judge', 'no/such/run'])} {streams}").returncode == 2
        assert shell(f"{in_shell(['frobnicate'])} {streams}").returncode == 2


def test_a_mending_goes_to_its_end_though_nobody_reads_of_it() -> None:
    program = """
import sys, time
from chaos.cli import entry, lab_commands
def heal():
    for line in range(5):
        yield f"{line}: healed"
        time.sleep(0.1)  # the reader is gone by now
    print("to the end", file=sys.stderr)
lab_commands.heal = heal
entry.main()
"""
    told = shell(f"set -o pipefail; {sys.executable} -c '{program}' heal | head -n1")
    assert (told.stdout, told.stderr, told.returncode) == ("0: healed\n", "to the end\n", 0)


@pytest.mark.parametrize(
    ("output", "encoding"),
    [
        *(("table", encoding) for encoding in ("latin-1", "ascii", "cp1252", "utf-16")),
        *(("json", encoding) for encoding in ("ascii", "utf-16")),
        *(("junit", encoding) for encoding in ("ascii", "utf-16")),
    ],
)
def test_a_verdict_is_printed_in_any_encoding(runs: Path, output: str, encoding: str) -> None:
    judged = subprocess.run(
        [sys.executable, "-m", "chaos", "judge", runs / "sound", "--format", output],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert judged.returncode == 0
    text = judged.stdout.decode(encoding)
    assert "\\u" not in text or output == "json"
    if output == "junit":
        assert ElementTree.fromstring(text).iter("testcase")
    assert "Traceback" not in judged.stderr.decode(encoding)


@pytest.mark.parametrize("optimize", ["1", "2"])
def test_a_python_without_assertions_and_docstrings_gives_the_same_result(
    runs: Path, optimize: str
) -> None:
    command = [sys.executable, "-m", "chaos", "judge", str(runs / "sound"), "--format", "json"]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONOPTIMIZE": optimize},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0
    assert told.stdout == linkstorm("judge", runs / "sound", "--format", "json").stdout


def test_a_python_without_docstrings_is_refused() -> None:
    told = shell(f"{sys.executable} -OO -m chaos list")
    assert told.returncode == 2
    assert "start it without" in told.stderr


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("KeyError('x')", "please report it: KeyError('x')"),
        ("MemoryError()", "please report it: MemoryError()"),
        ("RecursionError('deep')", "RecursionError('deep')"),
        ("ImportError('no module x')", "no module x"),
        ("EOFError()", "ended early"),
        ("AssertionError()", "AssertionError()"),
        ("BrokenPipeError(32, 'Broken pipe')", "Broken pipe"),
        ("PermissionError(13, 'Permission denied', 'x.parquet')", "Permission denied: 'x.parquet'"),
        ("SystemExit('words')", "words"),
        ("SystemExit(1)", "ended early"),
    ],
)
def test_no_error_that_nobody_expected_ends_as_a_fail_does(raised: str, said: str) -> None:
    program = f"""
from chaos.cli import entry, lab_commands
def status():
    raise {raised}
lab_commands.status = status
entry.main()
"""
    told = subprocess.run(
        [sys.executable, "-c", program, "status"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 3
    assert said in told.stderr.splitlines()[-1]


def test_a_child_that_breaks_is_trouble_and_one_that_refuses_is_bad_input() -> None:
    program = """
import subprocess
from chaos.cli import entry
real = subprocess.run
subprocess.run = lambda *_, **__: subprocess.CompletedProcess([], {code}, "", "the child says why")
entry.main()
"""
    arguments = ["run", "thundering-herd", "--set", "CACHE_TTL_S=1"]
    for child, ours in ((2, 2), (1, 3), (-9, 3)):
        told = subprocess.run(
            [sys.executable, "-c", program.format(code=child), *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (told.returncode, told.stderr) == (ours, "linkstorm: the child says why\n")


@pytest.mark.parametrize("command", [["list"], ["--help"], ["judge", "{run}"]], ids=" ".join)
def test_a_terminal_without_columns_is_given_some(runs: Path, command: list[str]) -> None:
    usual, none = (
        shell(f"COLUMNS={columns} {in_shell(command, runs / 'sound')}").stdout
        for columns in ("80", "0")
    )
    assert none == usual
    assert none.strip()


HEAVY = {
    "asyncpg", "bokeh", "docker", "duckdb", "gevent", "grafana_api", "jinja2", "locust", "numpy",
    "opentelemetry", "prometheus_client", "psutil", "psycopg", "pygments", "redis",
    "requests", "scipy", "starlette", "toxiproxy", "uvicorn",
}  # fmt: skip
IMPORTED = """
import atexit, sys
from pathlib import Path
from chaos.cli import entry
atexit.register(lambda: Path(sys.argv.pop()).write_text(" ".join(sys.modules)))
entry.main()
"""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["run", "--help"], set()),
        (["frobnicate"], set()),
        (["list", "--names"], {"numpy"}),
        (["list"], {"numpy", "psycopg"}),
    ],
    ids=lambda words: " ".join(sorted(words)),
)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(
    command: list[str], needed: set[str], tmp_path: Path
) -> None:
    program = IMPORTED.replace("sys.argv.pop()", repr(str(tmp_path / "seen")))
    subprocess.run([sys.executable, "-c", program, *command], capture_output=True, check=False)
    imported = {name.partition(".")[0] for name in (tmp_path / "seen").read_text().split()}
    assert imported & HEAVY <= needed


def in_shell(command: list[str], run: Path = Path()) -> str:
    return shlex.join([sys.executable, "-m", "chaos", *(w.format(run=run) for w in command)])


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def judged_to(stdout: int, run_dir: Path) -> tuple[int, str]:
    judged = subprocess.run(
        [sys.executable, "-m", "chaos", "judge", str(run_dir)],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(stdout)
    assert "Traceback" not in judged.stderr
    return judged.returncode, judged.stderr


def test_a_damaged_run_directory_is_named_by_its_file(tmp_path: Path) -> None:
    world = World()
    run(herd_order(world), lab(world), tmp_path / "run", lambda *_: None)
    (tmp_path / "run" / "requests.parquet").write_bytes(b"PAR1")
    refused = linkstorm("judge", tmp_path / "run")
    assert refused.returncode == 2
    assert "requests.parquet" in refused.stderr


def test_a_record_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, where a folder should be")
    refused = linkstorm("run", "thundering-herd", "--runs", tmp_path / "runs")
    assert refused.returncode == 3
    assert "the record cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr
