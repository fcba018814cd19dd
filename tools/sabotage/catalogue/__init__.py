"""All sabotages, by what they break."""

from collections.abc import Sequence

from tools.sabotage.catalogue import (
    acts,
    answers,
    clicks,
    consistency,
    failover,
    fills,
    records,
    resilience,
    topology,
    traffic,
)
from tools.sabotage.model import Sabotage

SABOTAGES: Sequence[Sabotage] = (
    *answers.SABOTAGES,
    *fills.SABOTAGES,
    *consistency.SABOTAGES,
    *clicks.SABOTAGES,
    *resilience.SABOTAGES,
    *failover.SABOTAGES,
    *acts.SABOTAGES,
    *topology.SABOTAGES,
    *traffic.SABOTAGES,
    *records.SABOTAGES,
)
