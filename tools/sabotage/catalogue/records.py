"""An observer or a record that loses what it should keep."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HERD = "thundering-herd"
OBSERVER = "chaos/engine/observer.py"
WRITER = "chaos/record/writer.py"

SABOTAGES = (
    Sabotage(
        "read-back-cut-short",
        "The last twenty clicks are not read back.",
        "The product seems to lose clicks that it has.",
        HERD,
        ["singleflight"],
        [
            Edit(
                WRITER,
                '"clicks": _write_rows(self.path, "clicks", state.clicks)',
                '"clicks": _write_rows(self.path, "clicks", [*state.clicks][:-20])',
            )
        ],
        [c.WHOLE],
    ),
    Sabotage(
        "sampling-stops",
        "Counters are sampled for the first five seconds only.",
        "Figures from samples are those of the first arm.",
        HERD,
        ["singleflight"],
        [
            Edit(
                OBSERVER,
                "    while not stop.wait(period_s):\n",
                "    until_s = time.monotonic() + 5\n"
                "    while not stop.wait(period_s) and time.monotonic() < until_s:\n",
            )
        ],
        [c.WATCHED],
    ),
    Sabotage(
        "counters-stand-still",
        "The count of Redis commands does not move.",
        "Every fix costs Redis nothing.",
        HERD,
        ["singleflight"],
        [
            Edit(
                OBSERVER,
                'return stack_counters.redis_commands(self._redis().info("commandstats"))',
                'return min(stack_counters.redis_commands(self._redis().info("commandstats")), 1.0)',
            )
        ],
        [c.STORED],
    ),
    Sabotage(
        "somebody-else",
        "Somebody follows links while the run goes on.",
        "The figures are those of two workloads.",
        HERD,
        ["singleflight"],
        [
            Edit(
                OBSERVER,
                "    while not stop.wait(period_s):\n        try:\n",
                "    while not stop.wait(period_s):\n        try:\n"
                "            requests.get(source.__closure__[0].cell_contents._stack.endpoints.url"
                ' + "/nobody", timeout=1)\n'
                "        except Exception:\n"
                "            pass\n"
                "        try:\n",
            )
        ],
        [c.ALONE],
    ),
    Sabotage(
        "requests-half-written",
        "One line in a thousand of the generator's record is cut short.",
        "Percentiles are those of other requests.",
        HERD,
        ["singleflight"],
        [
            Edit(
                "scenarios/generator/request_log.py",
                "            answer = exchange.answer\n",
                "            answer = exchange.answer\n"
                "            if exchange.session % 400 == 0:\n"
                "                self._write((segment, session))\n"
                "                return\n",
            )
        ],
        [c.ON_RECORD],
    ),
)  # fmt: skip
