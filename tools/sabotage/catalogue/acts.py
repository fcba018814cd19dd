"""Acts that miss, hit something else as well, or end too soon."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HERD = "thundering-herd"
FAULTS = "chaos/acts/faults.py"
PROXY = "chaos/toxiproxy/proxy.py"
FOR_NEW_CONNECTIONS = Edit(
    PROXY,
    "    def add(self, wrapper: ToxicWrapper) -> None:",
    "    def add(self, wrapper: ToxicWrapper) -> None:\n"
    "        self.set_toxic(wrapper)\n"
    "        return\n\n"
    "    def add_(self, wrapper: ToxicWrapper) -> None:",
)
SLOW = 'return stack.toxic(self.link, "latency", "downstream", latency=self.latency_ms)'
PAUSE = "        stack.pause(part)\n"

SABOTAGES = (
    Sabotage(
        "slow-does-nothing",
        "The link is not slowed.",
        "Every fix looks good, since nothing was wrong.",
        HERD,
        ["singleflight"],
        [Edit(FAULTS, SLOW, "return lambda: None")],
        [c.PROVEN],
    ),
    Sabotage(
        "slow-for-new-connections",
        "A toxic slows only connections that are opened after it.",
        "The probe sees the act, and the traffic does not.",
        HERD,
        ["singleflight"],
        [FOR_NEW_CONNECTIONS],
        [c.TOUCHED],
    ),
    Sabotage(
        "slow-half",
        "The link is slowed by half of what is planned.",
        "Theory seems to be wrong by a factor of two.",
        HERD,
        ["singleflight"],
        [Edit(FAULTS, SLOW, SLOW.replace("self.latency_ms", "self.latency_ms / 2"))],
        [c.PROVEN],
    ),
    Sabotage(
        "slow-ends-early",
        "The link is slow for 1.5 s only.",
        "Fixes look better than they are.",
        HERD,
        ["singleflight"],
        [
            Edit(
                FAULTS,
                SLOW,
                "import threading\n\n"
                '        undo = stack.toxic(self.link, "latency", "downstream", latency=self.latency_ms)\n'
                "        threading.Timer(1.5, undo).start()\n"
                "        return undo",
            )
        ],
        [c.PROVEN, c.IN_FORCE],
    ),
    Sabotage(
        "another-link-slow",
        "The primary's link is slowed along with the replica's.",
        "What is measured is another failure than the one named.",
        HERD,
        ["singleflight"],
        [
            Edit(
                FAULTS,
                SLOW,
                'other = stack.toxic("primary", "latency", "downstream", latency=self.latency_ms)\n'
                '        own = stack.toxic(self.link, "latency", "downstream", latency=self.latency_ms)\n'
                "        return lambda: (own(), other())[0]",
            )
        ],
        [c.IN_FORCE],
    ),
    Sabotage(
        "toxic-forgotten",
        "A toxic of 20 ms stands on the replica's link from the start.",
        "The healthy control is not healthy.",
        HERD,
        ["singleflight"],
        [
            Edit(
                "chaos/runtimes/embedded/runtime.py",
                "        self._toxics.populate(proxies(self._ports))",
                "        self._toxics.populate(proxies(self._ports))\n"
                '        self._toxics.add("replica", "latency", "upstream", {"latency": 20})',
            )
        ],
        [c.IN_FORCE, c.CONTROL],
    ),
    Sabotage(
        "replication-not-slowed",
        "Replication is not slowed, though the link's probe is.",
        "Reads look fresh since nothing lags.",
        "stale-reads",
        ["lsn"],
        [FOR_NEW_CONNECTIONS],
        [c.TOUCHED, "replica shows the failure"],
    ),
    Sabotage(
        "pause-ends-early",
        "Redis hangs for 1.4 s in place of 3 s.",
        "Fixes look better than they are.",
        "cache-down",
        ["timeout"],
        [
            Edit(
                FAULTS,
                PAUSE,
                PAUSE
                + "        import threading\n\n"
                + "        threading.Timer(1.4, stack.resume, [self.part]).start()\n",
            )
        ],
        [c.PROVEN, c.IN_FORCE],
    ),
    Sabotage(
        "pause-hits-a-web-process",
        "A web process hangs along with Redis.",
        "What is measured is another failure than the one named.",
        "cache-down",
        ["timeout"],
        [
            Edit(
                FAULTS,
                PAUSE,
                PAUSE
                + '        stack.pause("web-2")\n'
                + "        import threading\n\n"
                + '        threading.Timer(1.0, stack.resume, ["web-2"]).start()\n',
            )
        ],
        [c.IN_FORCE],
    ),
    Sabotage(
        "kill-kills-nothing",
        "The worker is not killed.",
        "Every way to count clicks looks safe.",
        "worker-crash",
        ["exactly-once"],
        [Edit(FAULTS, "        stack.kill(part)\n", "")],
        [c.PROVEN],
    ),
    Sabotage(
        "replay-goes-on",
        "Replay is not paused.",
        "Reads look fresh since nothing lags.",
        "stale-reads",
        ["lsn"],
        [
            Edit(
                "chaos/acts/replay.py",
                '            replica.execute("SELECT pg_wal_replay_pause()")\n',
                "",
            ),
            Edit("chaos/acts/replay.py", '!= "paused":', '== "paused":'),
        ],
        [c.PROVEN],
    ),
)  # fmt: skip
