"""Reference URL parsers, none of which the shortener uses.

Two are written after the standards (the URL standard that browsers follow, and the pattern of
RFC 3986), one is in C (httptools, of Node's origin), one is urllib3's.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import unquote

import httptools
import urllib3.util
from urllib3.exceptions import LocationParseError

Reading = tuple[str, str, int]  # scheme, host, port
Address = IPv4Address | IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}
_APPENDIX_B = re.compile(r"^(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?", re.DOTALL)
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f#%/:<>?@\[\\\]^|"`{}]')

# From IANA's registries of special purpose addresses, and multicast: none is public.
_INWARD_4 = [
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/29", "192.0.0.170/31", "192.0.2.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_INWARD_NAMES = (".localhost", ".local", ".internal", ".home.arpa")  # reserved for that
_INWARD_6 = [
    IPv6Network(network)
    for network in (
        *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32"),
        *("2001:10::/28", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10"),
        "ff00::/8",
    )
]
_EMBEDDING = [  # networks of IPv6, and how far from the right the IPv4 address in them is
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
]


class Unreadable(Exception):
    """A parser rejected the URL."""


def browser(url: str) -> Reading:
    """Parse by the URL standard: lenient, and eager to see an IPv4 number in a host."""
    url = re.sub("[\t\r\n]", "", url.strip("".join(map(chr, range(33)))))
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in DEFAULT_PORTS:
        raise Unreadable("not http")
    authority = re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
    host, port = _parted(_without_user(authority))
    if not host.startswith("["):
        host = unquote(host).lower()
        if not host.isascii() or _FORBIDDEN.search(host):
            raise Unreadable("no host")
        host = _number(host)
    return scheme, _same_notation(host), port or DEFAULT_PORTS[scheme]


def standard(url: str) -> Reading:
    """Parse by RFC 3986."""
    found = _APPENDIX_B.match(url)
    assert found is not None
    scheme = (found[2] or "").lower()
    if scheme not in DEFAULT_PORTS or found[3] is None:
        raise Unreadable("not http")
    host, port = _parted(_without_user(found[4]))
    if re.fullmatch(r"\[[0-9a-fA-F:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-fA-F]{2})+", host) is None:
        raise Unreadable("no host")
    return scheme, _same_notation(host.lower()), port or DEFAULT_PORTS[scheme]


def in_c(url: str) -> Reading:
    """Parse with httptools, without the fragment, as in a request.

    It accepts no underscore in a host, though many hosts have one.
    """
    url = url.partition("#")[0]
    known = url.replace("_", "-")
    try:
        parsed = httptools.parse_url(known.encode())
    except httptools.HttpParserInvalidURLError as error:
        raise Unreadable(str(error)) from error
    if parsed.userinfo is not None or parsed.schema is None or parsed.host is None:
        raise Unreadable("a user, or no host")
    scheme = parsed.schema.decode().lower()
    at, length = known.index(parsed.host.decode()), len(parsed.host)
    host = url[at : at + length].lower()
    host = f"[{host}]" if ":" in host else host
    return scheme, _same_notation(host), parsed.port or DEFAULT_PORTS.get(scheme, 0)


def library(url: str) -> Reading:
    """Parse with urllib3."""
    try:
        parsed = urllib3.util.parse_url(url)
    except LocationParseError as error:
        raise Unreadable(str(error)) from error
    if parsed.auth is not None or parsed.host is None or parsed.scheme is None:
        raise Unreadable("a user, or no host")
    port = parsed.port or DEFAULT_PORTS.get(parsed.scheme, 0)
    return parsed.scheme, _same_notation(parsed.host.lower()), port


PARSERS: Sequence[Callable[[str], Reading]] = (browser, standard, in_c, library)


def readings(url: str) -> set[Reading]:
    """Return the readings of all parsers, ideally one; `Unreadable` if any rejects the URL."""
    return {parser(url) for parser in PARSERS}


def addresses(host: str) -> list[Address]:
    """Return every IP address that a host may denote without a DNS lookup."""
    found: list[Address] = []
    if host.startswith("["):
        found.append(IPv6Address(socket.inet_pton(socket.AF_INET6, host[1:-1])))
    with contextlib.suppress(OSError, UnicodeEncodeError):  # octal, and with parts left out, too
        found.append(IPv4Address(socket.inet_aton(host.rstrip("."))))
    return found


def is_inward_name(host: str) -> bool:
    """Return True for a name of internal hosts, such as one without a dot."""
    is_name = not host.startswith("[") and not addresses(host)
    return is_name and ("." not in host or f".{host}".endswith(_INWARD_NAMES))


def is_inward(address: Address) -> bool:
    """Return True for a special-purpose address, or one that embeds one."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _INWARD_4)
    if any(address in network for network in _INWARD_6):
        return True
    return any(
        address in network and is_inward(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
        for network, shift in _EMBEDDING
    )


def _without_user(authority: str) -> str:
    if "@" in authority:
        raise Unreadable("a user")
    return authority


def _parted(authority: str) -> tuple[str, int]:
    host, port = authority, ""
    if found := re.fullmatch(r"(\[[^\]]*\]|[^:\[]*):(.*)", authority, re.DOTALL):
        host, port = found[1], found[2]
    if not host or (port and re.fullmatch("[0-9]+", port, re.ASCII) is None):
        raise Unreadable("no host, or no port")
    number = int(port or 0)
    if number > 65535:
        raise Unreadable("no port")
    return host, number


def _number(host: str) -> str:
    """Return the host, as dotted IPv4 if a browser takes it for an IPv4 address."""
    last = host.rstrip(".").rpartition(".")[2]
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", last, re.ASCII) is None:
        return host
    parts = host.removesuffix(".").split(".")
    try:
        numbers = [_part(part) for part in parts]
        if len(parts) > 4 or any(number > 255 for number in numbers[:-1]):
            raise ValueError
        total = numbers[-1]
        if total >= 256 ** (5 - len(parts)):
            raise ValueError
        for index, number in enumerate(numbers[:-1]):
            total += number * 256 ** (3 - index)
    except ValueError:
        raise Unreadable("no IPv4 address") from None
    return str(IPv4Address(total))


def _part(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if part.startswith("0") and len(part) > 1 else int(part)


def _same_notation(host: str) -> str:
    """Normalise an IPv6 address."""
    if not host.startswith("["):
        return host
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        raise Unreadable("no IPv6 address") from None
