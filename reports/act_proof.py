"""The proof of each act, merged over its injections: count and probe readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reports.formatting import NOTHING, Json, with_unit


@dataclass(frozen=True)
class ActProof:
    """All injections of one act; readings are medians over them, `None` if there was none."""

    act: str
    injections: int
    proven: int
    what: str
    unit: str
    before: float | None
    during: float | None
    after: float | None

    @property
    def words(self) -> str:
        """`12 of 12 proven, SELECT 1: 0.90 ms before, 151 ms during, 0.90 ms after`."""
        count = f"{self.proven:,} of {self.injections:,} proven"
        if self.before is None and self.during is None:
            return f"{count}; its probe never answered"
        readings = {"before": self.before, "during": self.during, "after": self.after}
        said = ", ".join(f"{self.text(value)} {when}" for when, value in readings.items())
        return f"{count}, {self.what}: {said}"

    def text(self, value: float | None) -> str:
        """A reading with its unit."""
        return NOTHING if value is None else with_unit(value, self.unit)


def act_proofs(result: Json) -> list[ActProof]:
    """One proof an act, in order of the first injection."""
    names = dict.fromkeys(act["act"] for act in result["acts"])
    return [_merged(name, [act for act in result["acts"] if act["act"] == name]) for name in names]


def _merged(name: str, injections: Sequence[Json]) -> ActProof:
    readings = [i[when] for i in injections for when in ("before", "during", "after") if i[when]]
    first = readings[0] if readings else {"what": "", "unit": ""}
    return ActProof(
        act=name,
        injections=len(injections),
        proven=sum(bool(injection["proven"]) for injection in injections),
        what=first["what"],
        unit=first["unit"],
        before=_median(injections, "before"),
        during=_median(injections, "during"),
        after=_median(injections, "after"),
    )


def _median(injections: Sequence[Json], when: str) -> float | None:
    values = [i[when]["value"] for i in injections if i[when] and i[when]["value"] is not None]
    return median(values) if values else None
