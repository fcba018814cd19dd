"""The worker is killed in the middle of its work. Which clicks are lost, and which count twice?

A worker that acknowledges first loses the batch it was at; one that commits first is given it again
and counts it twice. Only a commit that ignores ids it knows, before the acknowledgement, counts
every click once. How soon a click is durable is another choice, with its price in the redirect.
"""

from chaos.acts.faults import Kill
from chaos.judge.claims import at_least, at_most, none, shows
from chaos.measures.ledgers import lost, miscounted
from chaos.measures.outcomes import failed, latency
from chaos.measures.recovery import catch_up
from chaos.measures.samples import peak
from chaos.model.evidence import Mode
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Strip, Traffic

LOST, TWICE, CATCH_UP = lost("clicks"), miscounted(), catch_up()
WAITING = peak("clicks_waiting", "most clicks waiting", "clicks")
P99, FAILED = latency(99), failed()


def _held(step: str) -> dict[str, str]:
    """The worker spends nearly all its time at this step, so that the kill falls into it."""
    pause = {"WORKER_STEP": step, "WORKER_STEP_PAUSE_S": "0.6"}
    return {**pause, "WORKER_GATHER_S": "0", "WORKER_BATCH": "500"}


experiment = Experiment(
    name="worker-crash",
    lesson=__doc__,
    traffic=Traffic(rate_per_s=150, keys=20, hot_share=0.5),
    timeline=[At(1.5, Kill("worker"), until_s=3.0)],
    arms=[
        Arm(
            "ack-first",
            {"WORKER_ACKNOWLEDGE": "before-commit", **_held("after-acknowledge")},
            naive=True,
        ),
        Arm("no-dedupe", {"CLICK_DEDUPE": "false", **_held("after-store")}),
        Arm("exactly-once", _held("after-store")),
        Arm("sync", {"CLICK_MODE": "sync", **_held("after-store")}),
        Arm("outbox", {"CLICK_MODE": "outbox"}),
    ],
    measures=[LOST, TWICE, CATCH_UP, WAITING, P99, FAILED],
    claims=[
        shows("ack-first", LOST, at_least=1),
        at_least("no-dedupe", TWICE, 1),
        none(LOST, but="ack-first"),
        none(TWICE, but="no-dedupe"),
        *(at_most(arm, CATCH_UP, 6) for arm in ("exactly-once", "sync", "outbox")),
        none(FAILED),
    ],
    costs=[P99],
    strips=[LATENCY, Strip("Clicks waiting", "clicks", "samples", "clicks_waiting")],
    quick=Mode("quick", rounds=2, segment_s=5),
    full=Mode("full", rounds=8, segment_s=10),
)
