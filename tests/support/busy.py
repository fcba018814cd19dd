"""An experiment in which everything happens: visits that write, retries, a part killed for a while.

It is run on the fake stack, and is to the general parts of the lab what no single experiment is.
"""

from __future__ import annotations

from chaos.judge.claims import at_least, at_most, fewer_than, none, shows
from chaos.measures.ledgers import duplicated, lost
from chaos.measures.outcomes import failed, goodput, latency, tries
from chaos.measures.recovery import catch_up, recovery
from chaos.measures.samples import peak, per_second
from chaos.measures.selections import during, writes
from chaos.model.evidence import Mode
from chaos.model.experiment import Arm, At, Experiment
from chaos.model.traffic import FOLLOW, Retries, Step, Traffic, Visit
from tests.support.fake_stack import FakeKill, World

OWN = (Step("create"), Step("follow"), Step("edit"), Step("delete"))
VISITS = (
    FOLLOW,
    Visit("edit", (Step("edit"), Step("follow", after_s=0.01)), weight=0.2),
    Visit("own", OWN, weight=0.1, own_link=True),
)
LOST, TRIES, FAILED, RECOVERY = lost("clicks"), tries(during), failed(), recovery(within_ms=100)
CATCH_UP, WAITING = catch_up(), peak("clicks_waiting", "most clicks waiting", "clicks")
CARELESS = {"FALLBACK": "none", "CLICKS": "careless"}
CAREFUL = {"FALLBACK": "database", "CLICKS": "careful", "NEAR_CACHE_TTL_S": "30"}


def busy(world: World) -> Experiment:
    """The experiment, its act probing the fake."""
    return Experiment(
        name="busy",
        lesson="Redis dies. What is lost?",
        traffic=Traffic(
            rate_per_s=100, keys=20, hot_share=0.5, visits=VISITS, retries=Retries(3, pause_s=0.05)
        ),
        settings={"CACHE_FILL": "direct", "CACHE_TTL_S": "99", "XFETCH_BETA": "1"},
        timeline=[At(1.0, FakeKill(world), until_s=2.0)],
        arms=[
            Arm("careless", CARELESS, naive=True),
            Arm("careful", CAREFUL),
        ],
        measures=[
            *(LOST, TRIES, FAILED, RECOVERY, CATCH_UP, WAITING),
            *(goodput(during), latency(99, which=writes), lost("links"), lost("edits")),
            duplicated("links"),
            per_second("replica.look_ups", "look-ups", "look-ups"),
        ],
        claims=[
            shows("careless", LOST, at_least=1),
            none(LOST, but="careless"),
            none(FAILED, but="careless"),
            none(lost("links")),
            none(lost("edits")),
            none(duplicated("links")),
            at_most("careful", RECOVERY, 1),
            at_most("careful", CATCH_UP, 1),
            at_least("careless", TRIES, 1.5),
            fewer_than("careful", "careless", TRIES, share=0.7),
        ],
        quick=Mode("quick", rounds=2, segment_s=4.0, control_s=1.0, events=2),
        full=Mode("full", rounds=3, segment_s=6.0, control_s=1.0, events=3),
    )
