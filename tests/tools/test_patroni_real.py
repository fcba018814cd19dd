"""Patroni's own failover: it takes over, its old leader returns, and nothing is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.runtimes.embedded.lab_processes import members
from tools.patroni.__main__ import USAGE, app
from tools.patroni.cluster import Times, cluster
from tools.patroni.writer import fail_over, writing


@pytest.mark.skipif(sys.platform != "linux", reason="wheels of etcd are for Linux only")
@pytest.mark.real
@pytest.mark.alone  # the shared memory of a killed server is what others look for
@pytest.mark.timeout(240)
def test_the_replica_takes_over_once_the_leaders_key_has_expired(tmp_path: Path) -> None:
    times = Times()
    with cluster(times, tmp_path) as whole, writing(whole.conninfo) as writer:
        lab = whole.leader().data.parent
        before = whole.leader().name
        writer.acknowledged[-1] = 0.0  # which no server has
        seen = fail_over(whole, writer, within_s=3 * times.ttl)
        assert whole.leader().name != before
    assert times.ttl - times.loop_wait - 1 < seen.outage_s < 2 * times.ttl
    assert seen.acknowledged > 20
    assert 1 <= seen.lost <= 1 + seen.acknowledged / 10  # that one, and what was on its way
    assert not lab.exists()
    assert not members(lab)


def test_times_that_patroni_does_not_take_are_refused_before_anything_starts() -> None:
    refused = CliRunner().invoke(app, ["--loop-wait", "15"])
    assert refused.exit_code == USAGE
    assert "loop_wait + 2 × retry_timeout ≤ ttl" in refused.output
