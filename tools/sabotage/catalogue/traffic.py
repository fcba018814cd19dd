"""A load generator that sends something else than planned, or reports it otherwise."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HERD = "thundering-herd"
DISPATCHER = "scenarios/generator/dispatcher.py"
RUNNER = "scenarios/generator/segment_runner.py"
LOG = "scenarios/generator/request_log.py"

SABOTAGES = (
    Sabotage(
        "arrivals-dropped",
        "Every 200th arrival is dropped and not counted.",
        "The load is another one than the report says.",
        HERD,
        ["singleflight"],
        [
            Edit(
                DISPATCHER,
                "            self._next = next(self._arrivals, None)\n            counts.visits += 1",
                "            self._next = next(self._arrivals, None)\n"
                "            if int(intended_s * 1e6) % 200 == 0:\n"
                "                continue\n"
                "            counts.visits += 1",
            )
        ],
        [c.ARRIVALS],
    ),
    Sabotage(
        "another-seed",
        "Arrivals are drawn from another seed.",
        "A run cannot be repeated.",
        HERD,
        ["singleflight"],
        [Edit(RUNNER, "            segment.duration_s,\n            segment.seed,",
              "            segment.duration_s,\n            segment.seed + 1,")],
        [c.ARRIVALS],
    ),
    Sabotage(
        "sent-for-intended",
        "The intended time on record is the time of sending.",
        "A stalled generator hides the requests that were due (coordinated omission).",
        HERD,
        ["singleflight"],
        [Edit(LOG, 'f"{exchange.intended_s:.6f}"', 'f"{exchange.sent_s:.6f}"')],
        [c.ARRIVALS],
    ),
    Sabotage(
        "latency-scaled",
        "Latencies on record are 40 % of the true ones.",
        "Everything is two and a half times faster than it is.",
        HERD,
        ["direct"],
        [
            Edit(
                LOG,
                'f"{exchange.done_s:.6f}"',
                'f"{exchange.sent_s + 0.4 * (exchange.done_s - exchange.sent_s):.6f}"',
            )
        ],
        [c.GATEWAY],
    ),
    Sabotage(
        "slow-left-out",
        "Requests of more than 100 ms are not put on record.",
        "The worst is missing from every percentile.",
        HERD,
        ["singleflight"],
        [
            Edit(
                LOG,
                "            session = f",
                "            if exchange.done_s - exchange.sent_s > 0.1:\n"
                "                return\n"
                "            session = f",
            )
        ],
        [c.ON_RECORD],
    ),
    Sabotage(
        "failures-called-ok",
        "Failed requests are on record as answered.",
        "Errors are invisible.",
        "replica-lost",
        ["breaker"],
        [Edit(LOG, "                    answer.outcome,", '                    "ok",')],
        [c.CREDIBLE],
    ),
    Sabotage(
        "followed-twice",
        "Every 50th request is sent twice and recorded once.",
        "The system bears more load than the report says.",
        HERD,
        ["singleflight"],
        [
            Edit(
                DISPATCHER,
                "            answer = self._client.exchange(self._requests[rank], self._timeout_s)",
                "            answer = self._client.exchange(self._requests[rank], self._timeout_s)\n"
                "            if number % 50 == 0:\n"
                "                self._client.exchange(self._requests[rank], self._timeout_s)",
            )
        ],
        [c.ALONE],
    ),
    Sabotage(
        "hot-key-less-hot",
        "One request in five goes to another link than it was drawn for.",
        "The failure is milder than the plan says.",
        HERD,
        ["singleflight"],
        [
            Edit(
                DISPATCHER,
                "            counts.offered += 1\n",
                "            counts.offered += 1\n            rank = rank if counts.offered % 5 else 7\n",
            )
        ],
        [c.ARRIVALS],
    ),
)  # fmt: skip
