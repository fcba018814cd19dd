"""Endless malicious URLs: seeds, and mutations of them.

The search is guided by shape: an accepted URL of a new shape becomes a seed. It depends on the
random seed alone, so it can be repeated.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from urllib.parse import quote

SEEDS = (
    "http://example.org",
    "https://example.org:8443/a/b?c=d&e=%20#f",
    "HTTPS://EXAMPLE.org./",
    "https://example.org/grün?q=猫#ß",
    "http://93.184.216.34/x",
    "http://[2606:2800:220:1:248:1893:25c8:1946]:80/x",
    "http://127.0.0.1:8000/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.01/",
    "http://127.1/",
    "http://[::1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://localhost:6379/",
    "http://me.localhost/",
    "http://printer.local./",
    "http://db.internal:5432/",
    "http://nas.home.arpa/",
    "http://intranet/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://user:secret@example.org/",
    "http://example.org@evil.example/",
    "http://evil.example\\@example.org/",
    "http://example.org#@evil.example/",
    "http://example.org?@evil.example/",
    "http:///example.org/",
    "http:/example.org/",
    "http:example.org",
    "//example.org/",
    "/\\example.org/",
    "javascript:alert(1)//http://example.org/",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "ftp://example.org/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "https://example.org/\r\nSet-Cookie: a=b\r\n\r\n",
    "https://example.org/%0d%0aSet-Cookie:%20a=b",
    "https://exämple.org/",
    "https://xn--exmple-cua.org/",
    "https://example。org/",
    "https://ⓔⓧⓐⓜⓟⓛⓔ.org/",
    "https://example.org\u2044evil.example/",
    "https://sho.rt/code",
    "https://SHO.RT.:443/code",
    "http://sho%2ert/code",
    "http://a_b.example-.org/",
    "http://-.org/",
    "http://.org/",
    "http://a..b/",
    "http://example.org:0/",
    "http://example.org:65536/",
    "http://example.org:080/",
    "http://example.org:/",
    "http://[::1]x/",
    "http://[::1",
    "http://[v1.a]/",
    "http://" + "a." * 140 + "org/",
    "https://example.org/" + "ü" * 300,
    " https://example.org/ ",
    "ht\ntp://example.org/",
    "http://example.org/\ud800",
    "",
)

TOKENS = (
    *(".", "..", "/", "//", "\\", ":", "::", "@", "?", "#", "%", "[", "]", "&", "=", ";", ",", "|"),
    *("-", "_", "~", "^", "`", "{", "}", "<", ">", '"', "'", "(", ")", "*", "+", "!", "$", " "),
    *("\t", "\r", "\n", "\r\n", "\x00", "\x0b", "\x1f", "\x7f", "\x80", "\x85", "\xa0", "\xad"),
    *("\u200b", "\u200d", "\u202e", "\u2028", "\u2029", "\u3002", "\uff0e", "\uff0f", "\uff1a"),
    *("\ufeff", "\ufffe", "\ud800", "\udfff", "😀", "ı", "K", "ſ", "ß", "①", "½", "％"),
    *("%00", "%0a", "%0d", "%09", "%20", "%25", "%2e", "%2f", "%40", "%5c", "%ff", "%c0%ae", "%u0"),
    *("http:", "https://", "javascript:", "localhost", "127.0.0.1", "0x7f", "0177", "2130706433"),
    *("xn--", ".local", ".internal", "sho.rt", "user:pw@", ":80", ":443", ":99999", "0", "1", "9"),
    *("a", "z", "A", "f", "ff", "0x", "::ffff:", "[::1]", "%25eth0", "\r\nX: y", "example.org"),
)

_DIGITS = re.compile("[0-9]+")
_LETTERS = re.compile("[a-z]+", re.IGNORECASE)
_MOST_SEEDS = 4000


class Mutations:
    """An endless sequence of URLs, determined by `number`."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._seeds = list(SEEDS)
        self._shapes: set[str] = set()
        self._changes: tuple[Callable[[str], str], ...] = (
            *(self._insert, self._insert, self._replace, self._replace, self._delete),
            *(self._repeat, self._encode, self._splice, self._case, self._host),
        )

    def next(self) -> str:
        """Return a seed with one to four mutations."""
        url = self._random.choice(self._seeds)
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 3, 4))):
            url = self._random.choice(self._changes)(url)
        return url[:3000]

    def learn(self, url: str) -> None:
        """Add an accepted URL to the seeds, if its shape is new."""
        shape = _LETTERS.sub("a", _DIGITS.sub("9", url))
        if len(self._seeds) < _MOST_SEEDS and shape not in self._shapes:
            self._shapes.add(shape)
            self._seeds.append(url)

    def _place(self, url: str) -> int:
        """Pick a position, mostly in the first part, where it matters."""
        end = min(len(url), 30) if self._random.random() < 0.8 else len(url)
        return self._random.randint(0, end)

    def _insert(self, url: str) -> str:
        at = self._place(url)
        return url[:at] + self._random.choice(TOKENS) + url[at:]

    def _replace(self, url: str) -> str:
        at = self._place(url)
        return url[:at] + self._random.choice(TOKENS) + url[at + 1 :]

    def _delete(self, url: str) -> str:
        at = self._place(url)
        return url[:at] + url[at + self._random.randint(1, 4) :]

    def _repeat(self, url: str) -> str:
        at = self._place(url)
        part = url[at : at + self._random.randint(1, 8)]
        return url[:at] + part * self._random.choice((2, 2, 3, 60)) + url[at:]

    def _encode(self, url: str) -> str:
        at = self._place(url)
        encoded = quote(url[at : at + 1], safe="", errors="replace")
        if len(encoded) == 1:
            encoded = f"%{ord(encoded):02x}"
        return url[:at] + encoded + url[at + 1 :]

    def _splice(self, url: str) -> str:
        other = self._random.choice(self._seeds)
        return url[: self._place(url)] + other[self._place(other) :]

    def _case(self, url: str) -> str:
        at = self._place(url)
        return url[:at].swapcase() + url[at:]

    def _host(self, url: str) -> str:
        """Replace the host by an IP address in some notation."""
        before, slashes, rest = url.partition("//")
        end = min((rest.find(sign) for sign in "/?#:" if sign in rest), default=len(rest))
        return before + slashes + self._notation() + rest[end:]

    def _notation(self) -> str:
        chance = self._random
        first = chance.choice((0, 8, 10, 100, 127, 169, 172, 192, 198, 203, 224, 255))
        four = [first, *(chance.choice((0, 1, 16, 64, 168, 254, 255)) for _ in range(3))]
        number = int.from_bytes(bytes(four), "big")
        high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
        dotted = ".".join(map(str, four))
        return chance.choice(
            (
                dotted,
                dotted + ".",
                str(number),
                hex(number),
                oct(number).replace("o", ""),
                ".".join(map(hex, four)),
                ".".join(f"{byte:#o}".replace("o", "") for byte in four),
                f"{four[0]}.{number & 0xFFFFFF}",
                f"[::ffff:{dotted}]",
                f"[::ffff:{high}:{low}]",
                f"[::{high}:{low}]",
                f"[64:ff9b::{high}:{low}]",
                f"[2002:{high}:{low}::]",
                f"[{chance.choice(('fc00', 'fd12', 'fe80', 'fec0', 'ff02', '2001:db8', '2606'))}"
                f"::{low}]",
                f"{dotted}.nip.example",
            )
        )
