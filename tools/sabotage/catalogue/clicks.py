"""Clicks that are lost or counted twice by what promises the opposite."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

CRASH = "worker-crash"
WORKER = "stack/shortener/clicks/worker.py"
BUFFER = "stack/shortener/clicks/buffer.py"
OUTBOX = "stack/shortener/clicks/outbox.py"
LOST, TWICE = "no arm has any clicks lost", "no arm has any clicks miscounted"

SABOTAGES = (
    Sabotage(
        "clicks-never-made",
        "One redirect in eight makes no click, and names none.",
        "Statistics lack what no client was promised.",
        CRASH,
        ["exactly-once"],
        [
            Edit(
                "stack/shortener/redirect/handler.py",
                "        click_id = self._clicks.add(*self._click(exchange.code, fields, "
                "exchange.peer)).encode()\n",
                "        click_id = b\"\"\n"
                "        if now * 1000 % 8 >= 1:\n"
                "            click = self._click(exchange.code, fields, exchange.peer)\n"
                "            click_id = self._clicks.add(*click).encode()\n",
            )
        ],
        [c.EXACT],
    ),
    Sabotage(
        "durable-clicks-never-promised",
        "A redirect that waits for its click names none, even if it was written.",
        "A durable mode promises nothing, and so it loses nothing.",
        CRASH,
        ["sync"],
        [Edit(BUFFER, "            if accepted:\n", "            if accepted and False:\n")],
        [c.EXACT],
    ),
    Sabotage(
        "dedupe-off",
        "Ids that are known already are counted again.",
        "A worker's crash inflates every statistic.",
        CRASH,
        ["exactly-once"],
        [
            Edit(
                WORKER,
                "statement = STORE if settings.click_dedupe else STORE_NAIVELY",
                "statement = STORE_NAIVELY",
            )
        ],
        [TWICE, c.EXACT],
    ),
    Sabotage(
        "acknowledged-first",
        "The worker acknowledges before it commits, whatever is set.",
        "A worker's crash loses the batch in hand.",
        CRASH,
        ["exactly-once", "sync"],
        [
            Edit(
                WORKER,
                'acknowledges_first = self._settings.worker_acknowledge == "before-commit"',
                "acknowledges_first = True",
            )
        ],
        [LOST],
    ),
    Sabotage(
        "batch-without-its-first",
        "The worker skips the first click of each entry.",
        "Clicks are missing from every statistic.",
        CRASH,
        ["exactly-once"],
        [Edit(WORKER, "                clicks += found\n", "                clicks += found[1:]\n")],
        [LOST],
    ),
    Sabotage(
        "outbox-emptied-unread",
        "The relay removes one click in ten from the outbox without counting it.",
        "Clicks are missing from every statistic.",
        CRASH,
        ["outbox"],
        [
            Edit(
                OUTBOX,
                "[Click(*row[1:]) for row in rows])",
                "[Click(*row[1:]) for row in rows if row[0] % 10])",
            )
        ],
        [LOST],
    ),
    Sabotage(
        "buffer-drops",
        "The buffer drops every eighth click when it writes a batch, and counts it as written.",
        "Clicks are missing from every statistic.",
        "thundering-herd",
        ["singleflight"],
        [
            Edit(
                BUFFER,
                "                    await self._sink.write(batch)\n            except NotWritten as error:\n"
                "                _log_failure(batch",
                "                    await self._sink.write([c for c in batch if int(c[0], 16) % 8])\n"
                "            except NotWritten as error:\n                _log_failure(batch",
            )
        ],
        [c.EXACT],
    ),
    Sabotage(
        "id-minted-twice",
        "Two clicks share an id.",
        "The second of them is never counted.",
        "thundering-herd",
        ["singleflight"],
        [Edit(BUFFER, "{next(self._serial):016x}", "{next(self._serial) // 2:016x}")],
        [c.EXACT],
    ),
    Sabotage(
        "click-of-another-link",
        "One click in twenty is counted for another link.",
        "Every link's statistics are wrong, and their sum is right.",
        "thundering-herd",
        ["singleflight"],
        [
            Edit(
                BUFFER,
                "        return click_id, code, at_ms, referrer_host(referer), bot, visitor",
                '        code = code if int(click_id, 16) % 20 else self._code\n'
                "        self._code = code\n"
                "        return click_id, code, at_ms, referrer_host(referer), bot, visitor",
            ),
            Edit(
                BUFFER,
                "        self._closing = False\n",
                '        self._closing = False\n        self._code = "other"\n',
            ),
        ],
        [c.EXACT],
    ),
    Sabotage(
        "sync-does-not-wait",
        "A redirect that should wait until its click is durable does not.",
        "A web process's crash loses clicks that were promised.",
        CRASH,
        ["sync"],
        [
            Edit(
                BUFFER,
                "            if self._writer is None:\n                self._begin(self._write_waiting())\n"
                "            try:\n",
                "            if self._writer is None:\n                self._begin(self._write_waiting())\n"
                '            self._metrics.clicks["queued"] += 1\n'
                "            return click[0]\n"
                "            try:\n",
            )
        ],
        missed_since="No experiment kills a web process yet, and only that would show it.",
    ),
)  # fmt: skip
