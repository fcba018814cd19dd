"""A service file is read whole, or refused with a message that names the mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.perf.service_file import METRICS, Service, filled, read_service
from chaos.perf.trouble import WrongInput

ROOT = Path(__file__).parents[3]
LEAST = """
name = "example"
command = ["serve", "--port", "{port}"]
health = "/healthz"
[[requests]]
name = "item"
path = "/items/{n}"
numbers = 100
"""


def read(tmp_path: Path, text: str) -> Service:
    path = tmp_path / "perf.toml"
    path.write_text(text, encoding="utf-8")
    return read_service(path)


def test_the_shortest_file_has_defaults_for_the_rest(tmp_path: Path) -> None:
    service = read(tmp_path, LEAST)
    assert service.metrics == METRICS
    assert service.load.share_of_knee == 0.35
    assert service.requests[0].expects(204)
    assert not service.requests[0].expects(404)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("nome = 1", "nome: Extra inputs"),
        ("check = ['{prt}']", "there is no {prt}"),
        ("check = ['{redis_url}']", "needs [databases]"),
        ("check = ['{environment}/x']", r"needs a [build]"),
        ("seed_once = true", "seed_once needs a seed, and databases.postgres"),
        ("seed = ['x']\nseed_once = true", "seed_once needs a seed, and databases.postgres"),
        ("seed_once = true\ndatabases.postgres = true", "seed_once needs a seed"),
        ("check = ['{port}']", "there is no port yet"),
        ("[build]\ncommands = [['make', 'P={port}']]", "there is no port yet"),
        ("[[requests]]\nname = 'o'\npath = '/'\nshare = inf", "requests.1.share"),
        ("[[requests]]\nname = 'o'\npath = '/'\nshare = nan", "requests.1.share"),
        ("[[requests]]\nname = 'o'\npath = '/'\nshare = 1e300", "requests.1.share"),
        ("[counting]\ntolerance = inf", "counting.tolerance"),
        ("[load]\nrate_per_s = nan", "load.rate_per_s"),
        ("check = []", "check: Tuple should have at least 1 item"),
        ("[[metrics]]\nfigure = 'p99'\nrequest = 'other'\npass_below = 3", "no request other"),
        ("[[metrics]]\nfigure = 'p98'\npass_below = 3", "metrics.0.figure"),
        ("[[metrics]]\nfigure = 'p99'\npass_below = 1", "must be above fail_above"),
        ("[[metrics]]\nfigure = 'cpu'\nrequest = 'item'\npass_below = 3", "cannot be told apart"),
        (
            "[[metrics]]\nfigure = 'capacity'\nrequest = 'item'\npass_below = 3",
            "capacity is of all requests",
        ),
        ("[[requests]]\nname = 'item'\npath = '/'", "request item is there twice"),
        ("[[requests]]\nname = 'other'\npath = 'http://x/'", "requests.1.path"),
        ("[[requests]]\nname = 'o'\npath = '/'\nheaders = {a = \"x\\r\\ny\"}", "headers"),
        ("[[requests]]\nname = 'o'\npath = '/'\nmethod = 'HEAD'", "method"),
        ("[[counters]]\nonly = ['a']", "one of command and path"),
        ("[load]\nlaunch_s = nan", "load.launch_s"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: str, said: str) -> None:
    top, tables = (change, "") if not change.startswith("[") else ("", change)
    with pytest.raises(WrongInput) as refused:
        read(tmp_path, f"{top}\n{LEAST}\n{tables}")
    assert said in str(refused.value)


@pytest.mark.parametrize(("text", "said"), [("name = ", "is not TOML"), ("\udcff", "is not TOML")])
def test_what_is_no_toml_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "perf.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WrongInput, match=said):
        read_service(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="cannot be read: No such file"):
        read_service(tmp_path / "perf.toml")


def test_placeholders_are_filled_and_other_braces_stay() -> None:
    values = {"port": "8000", "here": "/a"}
    assert filled(["{here}/x", '{"a": {port}}'], values) == ["/a/x", '{"a": 8000}']


@pytest.mark.parametrize("path", [ROOT / "perf.toml", *ROOT.glob("examples/*/perf.toml")])
def test_the_files_of_this_repository_are_service_files(path: Path) -> None:
    service = read_service(path)
    own = {"capacity"} if path.parent == ROOT else set()
    assert {metric.figure for metric in service.metrics} == {"p50", "p90", "p99", "cpu"} | own
