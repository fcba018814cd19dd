"""All sabotages, by what they break."""

from collections.abc import Sequence

from tools.sabotage.catalogue import (
    acts,
    answers,
    clicks,
    consistency,
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
    *acts.SABOTAGES,
    *topology.SABOTAGES,
    *traffic.SABOTAGES,
    *records.SABOTAGES,
)
