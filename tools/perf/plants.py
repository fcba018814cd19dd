"""Regressions of known kind and dose, planted in the shortener or an example: are they found?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chaos.perf.trouble import WrongInput

HANDLER = "stack/shortener/redirect/handler.py"
CACHE = "stack/shortener/redirect/cache.py"
ORIGIN = "stack/shortener/redirect/origin.py"
WEB = "stack/shortener/web.py"
SHOP = "examples/fastapi_service/app.py"
OWN, EXAMPLE = "perf.toml", "examples/fastapi_service/perf.toml"


@dataclass(frozen=True)
class Plant:
    """One place of a service's code, and what it becomes; none for unchanged code.

    `worse` is False for the null case: a FAIL of it is a false alarm.
    """

    name: str
    service: str
    file: str = ""
    before: str = ""
    after: str = ""

    @property
    def worse(self) -> bool:
        """True if the service is slower with it, or asks for more."""
        return bool(self.file)

    def apply(self, root: Path) -> None:
        """Change the code of a checkout.

        Raises:
            WrongInput: the code is not as it was; the catalogue has to follow it.
        """
        if not self.worse:
            (root / "perf-selfcheck").write_text("unchanged\n", encoding="utf-8")
            return
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise WrongInput(f"{self.file} has {self.before!r} not once: correct {__name__}")
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


_BEGINS = "        metrics.requests_in_flight += 1\n        now = time.time()\n"
_READS = "            self._read_cache(exchange.code, partial(self._on_read, exchange))\n"


def _spin(turns: int) -> Plant:
    """More work of the processor in each redirect."""
    more = f"{_BEGINS}        for _ in range({turns}):\n            pass\n"
    return Plant(f"spin {turns}", OWN, HANDLER, _BEGINS, more)


def _slow(per_mille: int, milliseconds: int) -> Plant:
    """A wait in a share of the redirects."""
    later = (
        f"            if time.time_ns() // 1000 % 1000 < {per_mille}:\n"
        f"                asyncio.get_running_loop().call_later({milliseconds / 1000}, "
        "self._read_cache, exchange.code, partial(self._on_read, exchange))\n"
        "                return\n"
    )
    return Plant(f"{milliseconds} ms on {per_mille / 10:g} %", OWN, HANDLER, _READS, later + _READS)


def _shop_spin(terms: int) -> Plant:
    return Plant(
        f"example: {terms} terms more", EXAMPLE, SHOP, "range(1, 20)", f"range(1, {20 + terms})"
    )


_ASKS = "        row = await connection.fetchrow(LOOK_UP, code)\n"
_MORE_SQL = '        await connection.execute("SELECT 1")\n'
_FETCH = "    def _fetch(self, codes: Sequence[str], callback: OnValues) -> None:\n"
_MORE_REDIS = "        self._reader.mget([_VALUE + code for code in codes], lambda *_: None)\n"
_BLOCKS = """            if time.time_ns() // 1000 % 1000 < 10:
                time.sleep(0.002)
"""
_RETURNS = '    return {"number": number, "price"'
_WAITS = """    import asyncio
    import random

    if random.random() < 0.01:
        await asyncio.sleep(0.02)
"""

PLANTS = (
    Plant("nothing", OWN),
    _spin(100),
    _spin(200),
    _spin(400),
    _spin(800),
    _slow(10, 20),
    _slow(10, 5),
    Plant("one SQL statement more", OWN, ORIGIN, _ASKS, _MORE_SQL + _ASKS),
    Plant("one Redis read more", OWN, CACHE, _FETCH, _FETCH + _MORE_REDIS),
    Plant("a blocking call", OWN, HANDLER, _READS, _BLOCKS + _READS),
    Plant("look-ups without an index", OWN, ORIGIN, "WHERE code = $1", "WHERE code || '' = $1"),
    Plant("a pool of one", OWN, WEB, "            settings.pool_size,\n", "            1,\n"),
    Plant("example: nothing", EXAMPLE),
    _shop_spin(20),
    _shop_spin(60),
    Plant("example: 20 ms on 1 %", EXAMPLE, SHOP, _RETURNS, _WAITS + _RETURNS),
)
