"""Settings and roles that are not those of the plan."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HERD = "thundering-herd"
COMMANDS = "chaos/runtimes/embedded/part_commands.py"
MERGED = "SETTING_PREFIX + key: value for key, value in {**ours, **settings}.items()"

SABOTAGES = (
    Sabotage(
        "web-2-otherwise-set",
        "One of two web processes fills otherwise than the arm says.",
        "The figures are a mixture of two fixes.",
        HERD,
        ["lock"],
        [
            Edit(
                COMMANDS,
                MERGED,
                MERGED.replace(
                    "{**ours, **settings}",
                    '{**ours, **settings, **({"CACHE_FILL": "lease"} if name == "web-2" else {})}',
                ),
            )
        ],
        [c.SETTINGS],
    ),
    Sabotage(
        "lease-for-lock",
        "The arm of the lock runs the lease.",
        "A fix is praised for what another one did.",
        HERD,
        ["lock"],
        [
            Edit(
                COMMANDS,
                MERGED,
                MERGED.replace(
                    ": value for",
                    ': ("lease" if value == "lock" else value) for',
                ),
            )
        ],
        [c.SETTINGS],
    ),
    Sabotage(
        "replica-is-the-primary",
        "Look-ups of the replica reach the primary.",
        "Stale reads cannot happen, whatever the fix.",
        HERD,
        ["singleflight"],
        [Edit(COMMANDS, '"REPLICA_URL": links["replica"]', '"REPLICA_URL": links["primary"]')],
        [c.LOOK_UPS, c.TOUCHED],
    ),
    Sabotage(
        "one-web-process",
        "The balancer sends everything to one web process.",
        "Fixes that work in one process only look sound.",
        HERD,
        ["singleflight"],
        [
            Edit(
                "stack/nginx/nginx.conf",
                "        server ${WEB_2} max_fails=0;",
                "        server ${WEB_2} max_fails=0 backup;",
            )
        ],
        [c.SHARES],
    ),
    Sabotage(
        "worker-not-restarted",
        "The worker keeps the settings of the first arm.",
        "Every way to count clicks is the same one.",
        "worker-crash",
        ["exactly-once"],
        [
            Edit(
                "chaos/runtimes/topology.py",
                "return SHORTENER if changed & WORKER_SETTINGS else WEB",
                "return WEB",
            )
        ],
        [c.SETTINGS],
    ),
    Sabotage(
        "server-setting-not-applied",
        "A setting of Postgres is not applied.",
        "Commits do not wait for the replica.",
        "stale-reads",
        ["remote-apply"],
        [
            Edit(
                "chaos/runtimes/part_settings.py",
                "        if wanted == before:\n            return\n",
                "        if wanted != 0:\n            return\n",
            )
        ],
        [c.SETTINGS],
    ),
)  # fmt: skip
