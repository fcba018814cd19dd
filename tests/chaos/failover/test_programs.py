"""The programs of a failover say what they were asked wrongly, and what stopped them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.failover.orders import Asked, Control, Watch
from chaos.failover.process import FailoverProcess
from chaos.model.stack import StackError
from chaos.runtimes.embedded.ports import reserved

NOBODY = "postgresql://nobody@127.0.0.1:1/x"
CANDIDATE = {"server": "postgres-2", "url": NOBODY, "upstream": "127.0.0.1:1"}
CONTROL: dict[str, Any] = {
    "do": "control", "watched": NOBODY, "candidates": [CANDIDATE], "detect_s": 0.5,
    "toxiproxy": "http://127.0.0.1:1", "leads": ["primary"],
}  # fmt: skip
WRONG: list[dict[str, Any]] = [
    {},
    CONTROL | {"detect_s": 0},
    CONTROL | {"candidates": []},
    CONTROL | {"candidates": [CANDIDATE | {"server": "postgres-9"}]},
    CONTROL | {"more": 1},
]


def run(order: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos.failover", json.dumps({"order": order})]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("order", WRONG)
def test_a_wrong_order_is_refused_before_anything_is_watched(order: object) -> None:
    done = run(order)
    assert done.returncode == 2
    assert done.stderr.startswith("chaos.failover: ")
    assert not done.stdout


def test_an_order_survives_the_command_line() -> None:
    for order in (Control(**CONTROL), Watch(primary="postgresql://x", role="r", lost_s=1)):
        assert Asked.model_validate_json(Asked(order=order).model_dump_json()).order == order


def test_a_watchdog_of_nobody_says_why_it_cannot_begin(tmp_path: Path) -> None:
    with reserved(["nobody"]) as ports:
        url = f"postgresql://x@127.0.0.1:{ports['nobody']}/x"
        with pytest.raises(StackError, match=r"watch did not begin: failed .*refused"):
            FailoverProcess(Watch(primary=url, role="x", lost_s=1), tmp_path, lambda _: None)
