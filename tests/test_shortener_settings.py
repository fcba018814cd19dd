"""Settings: what is wrong is named, with the variable and what is allowed."""

from __future__ import annotations

import pytest

from stack.shortener.settings import WebSettings, WorkerSettings, read

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


def test_every_setting_says_what_it_is_for() -> None:
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    assert not [name for name, field in fields.items() if not field.description]


def test_the_default_fill_is_the_one_with_which_nobody_waits() -> None:
    assert read(WebSettings).cache_fill == "swr"


def test_a_worker_needs_neither_cache_nor_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHORTENER_CACHE_URL")
    monkeypatch.delenv("SHORTENER_REPLICA_URL")
    assert read(WorkerSettings).queue_url == URLS["QUEUE_URL"]


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
        ("FILL_HOLD_S", "1", "must be at least"),
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
