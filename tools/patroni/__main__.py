"""`python -m tools.patroni`: how long nobody writes, and what is lost, at a failover by Patroni."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chaos.model.stack import StackError
from chaos.runtimes.environment import adopt
from tools.patroni.cluster import Times, cluster
from tools.patroni.writer import Failover, fail_over, writing

USAGE, TROUBLE, INTERRUPTED = 2, 3, 130

app = typer.Typer(add_completion=False)


@app.command()
def outage(
    count: Annotated[int, typer.Option(min=1, help="Failovers, one after the other.")] = 5,
    ttl: Annotated[int, typer.Option(min=20, help="Seconds that a leader's key lives.")] = 20,
    loop_wait: Annotated[int, typer.Option(min=1, help="Seconds between two looks.")] = 1,
    retry_timeout: Annotated[int, typer.Option(min=3, help="Seconds that it tries again.")] = 3,
) -> None:
    """Kill the leader's agent and server again and again while somebody writes."""
    times = Times(ttl, loop_wait, retry_timeout)
    if loop_wait + 2 * retry_timeout > ttl:
        typer.echo("Patroni demands that loop_wait + 2 × retry_timeout ≤ ttl", err=True)
        raise typer.Exit(USAGE)
    seen: list[Failover] = []
    try:
        with tempfile.TemporaryDirectory(prefix="linkstorm-patroni-") as folder:
            typer.echo("starting etcd and two servers under Patroni", err=True)
            with cluster(times, Path(folder)) as whole, writing(whole.conninfo) as writer:
                for number in range(count):
                    typer.echo(f"failover {number + 1} of {count}", err=True)
                    seen.append(fail_over(whole, writer, within_s=3 * ttl))
    except StackError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(TROUBLE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    Console().print(_table(seen, times))


def _table(seen: Sequence[Failover], times: Times) -> Table:
    outages = [one.outage_s for one in seen]
    lost, acknowledged = sum(one.lost for one in seen), sum(one.acknowledged for one in seen)
    made = Table(box=None)
    cells = {
        "failovers": str(len(seen)),
        "ttl": f"{times.ttl} s",
        "loop_wait": f"{times.loop_wait} s",
        "outage": f"{median(outages):.1f} s",
        "least": f"{min(outages):.1f} s",
        "most": f"{max(outages):.1f} s",
        "theory": f"{times.ttl - times.loop_wait} to {times.ttl} s",
        "lost": f"{lost} of {acknowledged:,}",
    }
    for name in cells:
        made.add_column(name, justify="right")
    made.add_row(*cells.values())
    return made


if __name__ == "__main__":
    adopt()
    for ends in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ends, signal.default_int_handler)
    app()
