"""Acts: what an experiment does to the stack, each with its probe."""

from chaos.acts.failover import Degrade, Failover, Switchover
from chaos.acts.faults import Cut, Kill, Pause, Slow
from chaos.acts.patroni import Patroni
from chaos.acts.replay import PauseReplay

__all__ = [
    "Cut",
    "Degrade",
    "Failover",
    "Kill",
    "Patroni",
    "Pause",
    "PauseReplay",
    "Slow",
    "Switchover",
]
