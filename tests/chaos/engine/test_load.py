"""The load generator's process runs before others where its user may decide that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chaos.engine import load


def test_a_process_is_preferred_where_that_is_allowed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        before = os.getpriority(os.PRIO_PROCESS, process.pid)
        load._prefer(process.pid)
        after = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.communicate(b"\n")
    assert after in (before, max(before - load.NICER, -20))
    if os.geteuid() == 0:
        assert after < before or before == -20


def test_one_that_may_not_be_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    load._prefer(os.getpid())
