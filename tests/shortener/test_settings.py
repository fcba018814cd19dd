"""Settings: errors name the variable and the allowed values."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.shortener.settings import WebSettings, WorkerSettings, catalogue, read
from stack.shortener.settings_page import markdown
from tests.support.shortener_process import ROOT

URLS = {
    "PRIMARY_URL": "postgresql://linkstorm@127.0.0.1:1/linkstorm",
    "REPLICA_URL": "postgresql://linkstorm@127.0.0.1:2/linkstorm",
    "CACHE_URL": "redis://127.0.0.1:3/0",
    "QUEUE_URL": "redis://127.0.0.1:3/0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in URLS.items():
        monkeypatch.setenv(f"SHORTENER_{name}", value)


def test_every_setting_has_a_description() -> None:
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    assert not [name for name, field in fields.items() if not field.description]


def test_the_default_fill_is_the_one_with_which_nobody_waits() -> None:
    assert read(WebSettings).cache_fill == "swr"


def test_a_worker_needs_neither_cache_nor_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHORTENER_CACHE_URL")
    monkeypatch.delenv("SHORTENER_REPLICA_URL")
    assert read(WorkerSettings).queue_url == URLS["QUEUE_URL"]


def test_a_worker_that_looks_for_the_server_that_takes_writes_needs_both(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHORTENER_WRITE_TO", "read-write")
    servers = read(WorkerSettings).failover().servers
    assert servers is not None
    assert list(servers.urls) == [URLS["PRIMARY_URL"], URLS["REPLICA_URL"]]
    monkeypatch.delenv("SHORTENER_REPLICA_URL")
    with pytest.raises(SystemExit):
        read(WorkerSettings)
    assert "needs SHORTENER_REPLICA_URL" in capsys.readouterr().err


def test_by_default_writes_go_to_the_address_and_a_failed_pool_is_renewed() -> None:
    failover = read(WebSettings).failover()
    assert (failover.servers, failover.renewed, failover.lifetime_s) == (None, True, 0)


def test_the_page_about_the_settings_is_the_one_in_docs() -> None:
    """If not: `python -m stack.shortener settings --markdown > docs/settings.md`."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == markdown()


def test_every_setting_is_on_the_page_once_with_a_concern_and_a_reason() -> None:
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    rows = [line for line in markdown().splitlines() if line.startswith("| `SHORTENER_")]
    names = [row.split("`")[1].removeprefix("SHORTENER_").lower() for row in rows]
    assert sorted(names) == sorted(fields)
    assert "## Others" not in markdown()
    assert not [row for row in rows if row.endswith("|  |")]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CACHE_FILL", "magic", "'direct', 'singleflight', 'lock', 'lease', 'xfetch' or 'swr'"),
        ("CACHE_TTL_S", "0", "greater than 0"),
        ("CACHE_TTL_S", "inf", "a finite number"),
        ("CACHE_TTL_S", "90000", "less than or equal to 86400"),
        ("CACHE_TTL_S", "soon", "a valid number"),
        ("CACHE_TTL_JITTER", "1", "less than 1"),
        ("POOL_SIZE", "1.5", "a valid integer"),
        ("LISTEN", "8000", "match pattern"),
        ("REPLICA_URL", "mysql://x", "match pattern"),
        ("CACHE_FIL", "swr", "did you mean SHORTENER_CACHE_FILL?"),
        ("FILL_LOCK_TTL_S", "1", "must be at least"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_is_explained(
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"SHORTENER_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"SHORTENER_{name}" in message
    assert said in message


def test_a_missing_url_is_named_with_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHORTENER_REPLICA_URL")
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    assert ended.value.code == 2
    assert "SHORTENER_REPLICA_URL is not set; it is needed" in capsys.readouterr().err


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings"
    monkeypatch.setenv("SHORTENER_SETTINGS_FILE", str(path))
    return path


def test_a_settings_file_that_is_not_there_changes_nothing(file: Path) -> None:
    assert read(WebSettings).cache_fill == "swr"


def test_a_settings_file_sets_what_the_environment_does_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORTENER_POOL_SIZE", "7")
    monkeypatch.delenv("SHORTENER_CACHE_URL")
    file.write_text(
        "# for this run\n\nSHORTENER_CACHE_FILL = lock\r\nSHORTENER_POOL_SIZE=3\n"
        "SHORTENER_CACHE_URL=redis://a.example/?x=${HOME}#'y'\n"
    )
    settings = read(WebSettings)
    assert (settings.cache_fill, settings.pool_size) == ("lock", 7)
    assert settings.cache_url == "redis://a.example/?x=${HOME}#'y'"


def test_one_settings_file_is_for_web_and_worker(file: Path) -> None:
    file.write_text("SHORTENER_WORKER_BATCH=9\nSHORTENER_CACHE_FILL=lock\n")
    assert read(WebSettings).cache_fill == "lock"
    assert read(WorkerSettings).worker_batch == 9


def test_a_settings_file_may_hold_the_addresses(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHORTENER_QUEUE_URL")
    file.write_text("SHORTENER_QUEUE_URL=redis://elsewhere:1/0\n")
    assert read(WorkerSettings).queue_url == "redis://elsewhere:1/0"


def test_the_catalogue_does_not_depend_on_a_settings_file(file: Path) -> None:
    before = catalogue()
    file.write_text("SHORTENER_CACHE_FILL=lock\n")
    assert catalogue() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SHORTENER_CACHE_FILL=magic", "SHORTENER_CACHE_FILL='magic': Input should be 'direct'"),
        ("SHORTENER_CACHE_TTL_S=", "SHORTENER_CACHE_TTL_S='': Input should be a valid number"),
        ("SHORTENER_PRIMARY_TIMEOUT_S=10", "SHORTENER_FILL_LOCK_TTL_S (5) must be at least"),
        ("SHORTENER_CACHE_FIL=swr", "did you mean SHORTENER_CACHE_FILL?"),
        ("CACHE_FILL=swr", "CACHE_FILL: there is no such setting"),
        ("HOME=/root", "HOME: there is no such setting"),
        ("SHORTENER_SETTINGS_FILE=x", "SHORTENER_SETTINGS_FILE: there is no such setting"),
        ("\nSHORTENER_POOL_SIZE 3", "line 2: 'SHORTENER_POOL_SIZE 3' is not NAME=VALUE"),
        ("SHORTENER_NAME=a\nSHORTENER_NAME=b", "line 2: SHORTENER_NAME is there twice"),
        ("\udcff", "cannot be read: 'utf-8' codec"),
    ],
)
def test_what_is_wrong_in_a_settings_file_is_explained_with_its_name(
    text: str, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    (message,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert said in message
    assert str(file) in message


def test_a_settings_file_that_cannot_be_read_is_an_error(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.mkdir()
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    assert ended.value.code == 2
    assert f"{file} cannot be read" in capsys.readouterr().err
