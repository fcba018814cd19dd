"""Failovers, fences and commits that are not what they say."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

FAILOVER, SWITCH, SPLIT, STANDBY = "failover", "switchover", "split-brain", "sync-standby-lost"
ACTS, WATCHDOG = "chaos/acts/failover.py", "chaos/failover/watchdog.py"
WRITES, RETRIES = "stack/shortener/api/writes.py", '    if settings.write_retry == "none":\n'
SETTINGS, NAMED = "chaos/runtimes/part_settings.py", "        wanted[SYNCHRONOUS] = names"

SABOTAGES = (
    Sabotage(
        "failover-without-waiting",
        "The shortener does not pass SYNCHRONOUS_COMMIT on: it commits locally.",
        "A synchronous commit is believed to be safe, and loses writes.",
        FAILOVER,
        ["on"],
        [
            Edit(
                "stack/shortener/web.py",
                "            synchronous_commit=settings.synchronous_commit,\n",
                '            synchronous_commit="local",\n',
            )
        ],
        ["any links lost", "on: write p50"],
    ),
    Sabotage(
        "remote-write-is-local",
        "A commit that should wait until the replica has received it commits locally.",
        "The cheapest of the safe commits is as unsafe as none, and nobody knows.",
        FAILOVER,
        ["remote-write"],
        [
            Edit(
                "stack/shortener/web.py",
                "            synchronous_commit=settings.synchronous_commit,\n",
                "            synchronous_commit=settings.synchronous_commit"
                '.replace("remote_write", "local"),\n',
            )
        ],
        ["any links lost"],
    ),
    Sabotage(
        "retry-does-nothing",
        "A write whose outcome is unknown is not read back, whatever WRITE_RETRY says.",
        "Clients are told of an error for writes that are there, or that a retry would have made.",
        FAILOVER,
        ["multi-host", "no-retry"],
        [Edit(WRITES, RETRIES, "    if settings:\n")],
        ["multi-host: write missed"],
    ),
    Sabotage(
        "all-writes-are-retried",
        "A write whose outcome is unknown is read back and sent again, whatever WRITE_RETRY says.",
        "What the retry is good for seems to come for nothing.",
        FAILOVER,
        ["multi-host", "no-retry"],
        [Edit(WRITES, RETRIES, "    if not settings:\n")],
        ["no-retry: write missed"],
    ),
    Sabotage(
        "links-made-twice",
        "Each link that is created with a key is stored under a second code, too.",
        "A retry makes a second link, and nobody notices.",
        FAILOVER,
        ["on"],
        [
            Edit(
                "stack/shortener/api/link_creation.py",
                "SELECT code, url, expires_at, max_clicks, $1::text\nFROM claim,",
                "SELECT unnest(ARRAY[code, left(md5(random()::text), 12)]), url, expires_at,"
                " max_clicks, $1::text\nFROM claim,",
            )
        ],
        ["any links duplicated"],
    ),
    Sabotage(
        "every-fifth-write-refused",
        "Once the primary's role has moved, every fifth write is refused.",
        "The service looks recovered with its first write, and is not.",
        FAILOVER,
        ["on"],
        [
            Edit(
                WRITES,
                "        return Written(await send(connection), server)\n",
                "        if server.timeline > 1 and random.random() < 0.2:\n"
                '            raise DatabaseUnavailable("refused")\n'
                "        return Written(await send(connection), server)\n",
            )
        ],
        ["on: write missed 4 s since"],
    ),
    Sabotage(
        "links-led-unasked",
        "The controller leads the clients' link to the new primary where they should find it.",
        "Clients seem to find a new primary that they were led to.",
        FAILOVER,
        ["multi-host"],
        [
            Edit(
                "chaos/failover/controller.py",
                "    for link in order.leads:\n"
                "        toxics.put(link, chosen.upstream, is_open=links[link].open)\n",
                '    for link in ("primary", "worker-primary", "replication"):\n'
                "        toxics.put(link, chosen.upstream, is_open=links[link].open)\n",
            )
        ],
        [c.TOUCHED],
    ),
    Sabotage(
        "controller-hesitates",
        "The controller gives the primary up after twice the time that is set.",
        "An outage is put down to a detection time that is another one.",
        FAILOVER,
        ["on"],
        [
            Edit(
                "chaos/failover/controller.py",
                "pulse.last_s) < detect_s:",
                "pulse.last_s) < 2 * detect_s:",
            )
        ],
        [c.TOUCHED],
    ),
    Sabotage(
        "nobody-promotes",
        "The controller finds the primary silent, and promotes nothing.",
        "There is no failover, and the outage is put down to the system.",
        FAILOVER,
        ["on"],
        [
            Edit(
                "chaos/failover/controller.py",
                "    promote(chosen.server, chosen.url)\n",
                "    time.sleep(3600)\n",
            )
        ],
        [c.CAME_TO_ITS_END],
    ),
    Sabotage(
        "fork-is-not-read",
        "What the old primary had is erased without being read.",
        "Writes that are lost without a trace look like those of a failover.",
        FAILOVER,
        ["on"],
        [
            Edit(
                "chaos/engine/run.py",
                "        self.writer.fork(self.number, self.observer.fork(url))\n",
                "        self.writer.fork(self.number, [])\n",
            )
        ],
        ["without a trace"],
    ),
    Sabotage(
        "switchover-does-not-wait",
        "A switchover promotes at once, as the naive arm does.",
        "A planned move loses what is on its way.",
        SWITCH,
        ["switchover"],
        [Edit(ACTS, "        if self.waits:\n", "        if False:\n")],
        ["any links lost", "any clicks lost"],
    ),
    Sabotage(
        "watchdog-sleeps",
        "The watchdog sees that nobody follows, and demotes nothing.",
        "The fence that needs no contact is none.",
        SPLIT,
        ["demoted"],
        [Edit(WATCHDOG, "    primary.execute(READ_ONLY)\n", "    time.sleep(3600)\n")],
        ["demoted: overlap"],
    ),
    Sabotage(
        "proxy-is-not-led",
        "The controller leads no link to the new primary.",
        "The old primary goes on taking writes, which will be erased.",
        SPLIT,
        ["proxy"],
        [
            Edit(
                "chaos/failover/controller.py",
                "        toxics.put(link, chosen.upstream, is_open=links[link].open)\n",
                "        toxics.put(link, links[link].to, is_open=links[link].open)\n",
            )
        ],
        ["proxy: overlap", "proxy: links lost"],
    ),
    Sabotage(
        "watchdog-too-quick",
        "The watchdog demotes the primary after half of the time that is set.",
        "The fence looks quicker than the one that would be run.",
        SPLIT,
        ["demoted"],
        [Edit(WATCHDOG, "< order.lost_s:", "< order.lost_s / 2:")],
        [c.TOUCHED],
    ),
    Sabotage(
        "lease-not-as-named",
        "Patroni's lease lasts six seconds longer than the act says.",
        "Patroni looks slower than it is.",
        FAILOVER,
        ["patroni"],
        [
            Edit(
                "chaos/failover/patroni.py",
                '"ttl": self._lease.ttl_s,',
                '"ttl": self._lease.ttl_s + 6,',
            )
        ],
        [c.TOUCHED],
    ),
    Sabotage(
        "timeline-made-up",
        "Every answer to a write names timeline 1, whichever server took it.",
        "Two primaries look like one.",
        SPLIT,
        ["proxy"],
        [
            Edit(
                "stack/shortener/api/app.py",
                '            (b"x-timeline", b"%d" % server.timeline),\n',
                '            (b"x-timeline", b"1"),\n',
            )
        ],
        ["no fence shows the failure: writes on the old primary"],
    ),
    Sabotage(
        "commits-are-not-let-go",
        "The watchdog has no commit go on.",
        "Writes stall for as long as the replica is away.",
        STANDBY,
        ["degrade"],
        [Edit(WATCHDOG, '    wait_for(primary, "")\n', "    time.sleep(3600)\n")],
        ["degrade: write missed"],
    ),
    Sabotage(
        "watchdog-in-a-hurry",
        "The watchdog lets commits go at once, while the replica follows.",
        "Commits that should wait for the replica never do, and a failover loses them.",
        STANDBY,
        ["degrade"],
        [
            Edit(
                WATCHDOG,
                "        while time.monotonic() - followed_s < order.lost_s:\n",
                "        while time.monotonic() < followed_s:\n",
            )
        ],
        [c.TOUCHED],
    ),
    Sabotage(
        "quorum-of-all",
        "Commits wait for both standbys where either should do.",
        "A quorum is said to stall as a single standby does.",
        STANDBY,
        ["any-1-of-2"],
        [Edit(SETTINGS, NAMED, NAMED + '.replace("ANY 1", "ANY 2")')],
        ["any-1-of-2: write missed"],
    ),
    Sabotage(
        "quorum-of-one-standby",
        "Of two standbys only the first is named.",
        "A single standby is tried under the name of a quorum.",
        STANDBY,
        ["any-1-of-2"],
        [Edit(SETTINGS, NAMED, f"{NAMED}.replace(', \"postgres-3\"', '')")],
        [c.CAME_TO_ITS_END],
    ),
)
