"""Validation of targets: web addresses that every client reads in the same way.

One pattern defines the form of an address; the OpenAPI document has the same pattern. Clients
disagree about hosts that end in a number (`2130706433` and `0x7f.1` are 127.0.0.1 for some), so an
IPv4 address must be four decimal numbers. Names that resolve to private addresses are not detected.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, unquote, urlsplit

from stack.shortener.http.characters import at, named
from stack.shortener.http.problems import Problem

LONGEST = 2048

_UNSAFE = r'\x00-\x20\x7f-\xa0\\<>"\u2028\u2029'
_LABEL = "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"  # names in use end in a hyphen, and clients accept them
_LAST_LABEL = "[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"(?:{_LABEL}\.)*{_LAST_LABEL}\.?"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = "|".join(
    [
        f"(?:{_GROUP}:){{7}}{_GROUP}",
        f"(?:{_GROUP}:){{1,7}}:",
        *(f"(?:{_GROUP}:){{1,{7 - after}}}(?::{_GROUP}){{1,{after}}}" for after in range(1, 7)),
        f":(?::{_GROUP}){{1,7}}",
        "::",
    ]
)
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
PATTERN = (
    "^[Hh][Tt][Tt][Pp][Ss]?://"
    "(?![^/?#]{256})"  # host and port together are at most 255 long
    rf"(?:{_NAME}|{_IPV4}|\[(?:{_IPV6})\])"
    f"(?::(?:{_PORT}))?"
    f"(?:[/?#][^{_UNSAFE}]*)?$"
)
_FORM = re.compile(PATTERN[1:-1])
_KEPT = "%/:=&?~+!$,;'@()*"  # allowed as they are in a path or query by RFC 3986
_KEPT_IN_FRAGMENT = f"{_KEPT}#[]|^`{{}}"  # read by scripts as they are
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_PARTS = re.compile("([^/]*//[^/?#]*)([^#]*)(.*)", re.DOTALL)
DEFAULT_PORTS = {"http": 80, "https": 443}
_INWARD = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet")


@dataclass(frozen=True)
class TargetRules:
    """The rules for targets; `public_url` is the start of short links, if that is fixed.

    If it has a path, the rest of its host is not ours.
    """

    refuse_private: bool = False
    public_url: str = ""

    def checked(self, url: object, base: str = "") -> str:
        """The target, safe in a Location header; `base` is the URL that the request was sent to."""
        if not isinstance(url, str):
            raise _refused("url must be a string")
        if len(url) > LONGEST:
            raise _refused(f"url is longer than {LONGEST} characters")
        if _FORM.fullmatch(url) is None:
            raise _refused(_fault(url))
        target = _encoded(url)
        if len(target) > LONGEST:
            raise _refused(f"url is longer than {LONGEST} characters when percent-encoded")
        host, port = _place(target)
        if self.refuse_private and _is_private(host):
            raise _refused("url leads to a private address")
        if self._leads_back(target, host, port, base):
            raise _refused("url leads back here: a short link to a short link never arrives")
        return target

    def _leads_back(self, target: str, host: str, port: int, base: str) -> bool:
        if self.public_url and _is_at(_own_place(self.public_url), host, port):
            return _is_below(urlsplit(self.public_url).path.rstrip("/"), urlsplit(target).path)
        return bool(base) and _is_at(_own_place(base), host, port)


def _encoded(url: str) -> str:
    """The address, percent-encoded where needed."""
    match = _PARTS.fullmatch(url)
    assert match is not None
    place, path_and_query, fragment = match.groups()
    try:
        path_and_query = quote(_STRAY_PERCENT.sub("%25", path_and_query), safe=_KEPT)
        return place + path_and_query + quote(fragment, safe=_KEPT_IN_FRAGMENT)
    except UnicodeEncodeError as error:  # an unpaired surrogate, as JSON allows
        half = error.object[error.start]
        raise _refused(f"url has half a character (U+{ord(half):04X})") from None


def _refused(detail: str) -> Problem:
    return Problem(422, detail, field="url")


def _fault(url: str) -> str:
    """A message about the wrong part of the address."""
    if re.match("https?://", url, re.IGNORECASE) is None:
        before = re.match("[^A-Za-z]+(?=https?://)", url, re.IGNORECASE)
        instead = f", and not with {named(url[0])}" if before else ""
        return f"url must begin with http:// or https://{instead}"
    if unwanted := re.search(f"[{_UNSAFE}]", url):
        return f"url has {at(url, unwanted.start())}, which is not allowed"
    authority = re.split("[/?#]", url, maxsplit=3)[2]
    if "@" in authority:
        return "url must not name a user or password"
    if not authority.isascii():
        return "url has no valid host; other scripts need punycode"
    if re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?(?::.*)?", authority):
        return "url has no valid host; an IPv4 address is four decimal numbers"
    return "url has no valid host and port"


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    return _one_notation(host), parts.port or DEFAULT_PORTS.get(parts.scheme, 0)


def _one_notation(host: str) -> str:
    """The host in one notation: IPv6 has many, and a second one for every IPv4 address."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:  # only a Host header can be so wrong
        return host
    return str(address.ipv4_mapped or address)


_own_place = lru_cache(maxsize=64)(_place)


def _is_at(own: tuple[str, int], host: str, port: int) -> bool:
    """True for our own host and port; both default ports match, since a balancer ends TLS."""
    default = DEFAULT_PORTS.values()
    return own[0] == host and (own[1] == port or (own[1] in default and port in default))


def _is_below(prefix: str, path: str) -> bool:
    """True if a path, decoded and normalised, is the prefix or below it."""
    plain = posixpath.normpath("/" + unquote(path).lstrip("/"))
    return not prefix or plain == prefix or plain.startswith(f"{prefix}/")


def _is_private(host: str) -> bool:
    """True for a private address, or a name that only resolves inside a network."""
    if ":" not in host and host.rpartition(".")[2][0].isalpha():
        return "." not in host or host.endswith(_INWARD)
    address = ip_address(host)
    if isinstance(address, IPv6Address):
        if address.is_site_local:
            return True
        address = address.sixtofour or address
    return not address.is_global or address.is_multicast or address.is_reserved
