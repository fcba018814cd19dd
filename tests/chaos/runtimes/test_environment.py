"""What of the user's environment reaches the lab, its clients and its children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.runtimes.embedded import binaries
from chaos.runtimes.environment import as_given, at_home, clean_environment
from tests.chaos.cli.test_environment_real import DOTFILES, FOREIGN

ROOT = Path(__file__).parents[3]
OURS_TO_KEEP = {
    "DOCKER_HOST": "unix:///somewhere",
    "COMPOSE_PROJECT_NAME": "mine",
    "LINKSTORM_TOXIPROXY": "/opt/toxiproxy",
    "LD_LIBRARY_PATH": "/opt/lib",
    "NO_COLOR": "1",
    "KEPT": "yes",
}

IN_A_LAB = """
import json, os, sys
from chaos.runtimes import environment
environment.adopt()
{look}
"""


def in_a_lab(look: str, given: Mapping[str, str], cwd: Path = ROOT) -> Any:
    """What a process sees that has adopted the lab's environment."""
    told = subprocess.run(
        [sys.executable, "-c", IN_A_LAB.format(look=look)],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


SEEN = "print(json.dumps(dict(os.environ)))"


def test_nothing_that_was_meant_for_others_is_left() -> None:
    seen = in_a_lab(SEEN, {**FOREIGN, **OURS_TO_KEEP})
    changed = {name: seen[name] for name in FOREIGN.keys() & seen.keys()}
    assert changed.keys() <= {"LINKSTORM_RECORD", "LC_MESSAGES", "PGPASSFILE"}
    assert changed["PGPASSFILE"] != FOREIGN["PGPASSFILE"]
    assert seen.items() >= OURS_TO_KEEP.items()


def test_a_child_gets_none_of_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    seen = clean_environment()
    assert FOREIGN.keys() & seen.keys() == {"PGPASSFILE"}
    assert (seen["LC_ALL"], seen["TZ"]) == ("C.UTF-8", "UTC")


def test_the_docker_command_gets_what_the_user_has_set() -> None:
    look = "print(json.dumps(environment.as_given()))"
    given = {"https_proxy": "http://proxy:3128", "SSL_CERT_FILE": "/etc/company.pem"}
    assert in_a_lab(look, given).items() >= given.items()
    assert as_given() == dict(os.environ)  # of a process that has adopted nothing


REQUESTS = """
from requests import Session, Request
from requests.utils import get_netrc_auth
session, url = Session(), "http://127.0.0.1:1/x"
settings = session.merge_environment_settings(url, {}, None, None, None)
told = session.prepare_request(Request("GET", url)).headers
print(json.dumps([dict(settings["proxies"]), settings["verify"], "Authorization" in told]))
"""
LIBPQ = """
from psycopg.pq import Conninfo
print(json.dumps({each.keyword.decode(): (each.val or b"").decode()
                  for each in Conninfo.get_defaults() if each.keyword != b"passfile"}))
"""


def test_requests_and_libpq_find_no_settings_of_the_user(tmp_path: Path) -> None:
    for name, content in DOTFILES.items():
        (tmp_path / name).write_text(content)
    foreign = {**FOREIGN, "HOME": str(tmp_path)}
    foreign = {name: value for name, value in foreign.items() if name != "PGSERVICE"}
    assert in_a_lab(REQUESTS, foreign, tmp_path) == [{}, True, False]
    assert in_a_lab(LIBPQ, foreign, tmp_path) == in_a_lab(LIBPQ, {}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONDEVMODE", "1"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONVERBOSE", "1"),
    ],
)
def test_a_python_that_would_run_programs_otherwise_is_started_anew(name: str, value: str) -> None:
    look = "print(json.dumps([str(sys.flags), sys.warnoptions, sys.prefix]))"
    assert in_a_lab(look, {name: value}) == in_a_lab(look, {})


@pytest.mark.parametrize(
    ("columns", "kept"), [("0", None), ("", None), ("-1", None), ("wide", None), ("40", "40")]
)
def test_a_width_that_is_none_is_passed_over(columns: str, kept: str | None) -> None:
    assert in_a_lab(SEEN, {"COLUMNS": columns}).get("COLUMNS") == kept


@pytest.mark.parametrize(
    ("given", "kept"), [("tmp", "{here}/tmp"), ("../x", "{above}/x"), ("/tmp", "/tmp"), ("", "")]
)
def test_a_relative_tmpdir_is_where_the_user_meant_it(
    tmp_path: Path, given: str, kept: str
) -> None:
    seen = in_a_lab(SEEN, {"TMPDIR": given}, tmp_path)
    assert seen["TMPDIR"] == kept.format(here=tmp_path, above=tmp_path.parent)


def test_a_toxiproxy_by_a_relative_path_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINKSTORM_TOXIPROXY", "bin/server")
    assert binaries.toxiproxy() == str(tmp_path / "bin" / "server")


def test_the_load_generator_has_an_empty_home_and_keeps_its_packages(tmp_path: Path) -> None:
    environment = at_home(tmp_path)
    look = "import site; print(json.dumps([os.path.expanduser('~'), site.getuserbase()]))"
    here, _ = in_a_lab(look, environment)
    assert here == str(tmp_path)
    assert in_a_lab(look, environment)[1] == in_a_lab(look, {"HOME": str(Path.home())})[1]
