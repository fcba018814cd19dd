"""Orders to the programs of a failover, as JSON on their command line."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from chaos.model.evidence import DEMOTED as DEMOTED
from chaos.model.evidence import PROMOTED as PROMOTED
from chaos.model.evidence import SILENT as SILENT
from chaos.model.stack import ServerName

WATCHING, LED = "watching", "led"
ALONE, DEGRADED = "alone", "degraded"
FAILED = "failed"


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Candidate(_Order):
    """A standby that may be promoted: its URL, and where Toxiproxy reaches it."""

    server: ServerName
    url: str
    upstream: str


class Control(_Order):
    """Promote a standby once the primary has given no answer for `detect_s`.

    Of the candidates that answer then, it is the one that has received most; of several the first.
    `watched` is the URL under which the primary is watched, maybe through a link. `leads` are links
    of the Toxiproxy at `toxiproxy` that lead to the new primary from then on.
    """

    do: Literal["control"] = "control"
    watched: str
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    detect_s: PositiveFloat
    toxiproxy: str
    leads: tuple[str, ...]


class Watch(_Order):
    """Act once no standby has streamed from the primary at `primary` for `lost_s`.

    `demote`: it refuses writes from then on, and the sessions of `role` end. `degrade`: its commits
    wait for no standby from then on.
    """

    do: Literal["watch"] = "watch"
    primary: str
    role: str
    lost_s: PositiveFloat
    then: Literal["demote", "degrade"] = "demote"


class Asked(BaseModel):
    """Either order, by what it says to do."""

    order: Control | Watch
