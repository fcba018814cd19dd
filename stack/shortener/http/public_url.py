"""PUBLIC_URL, the start of every short link: checked and normalised."""

from __future__ import annotations

import re
from urllib.parse import quote

from stack.shortener.http.targets import DEFAULT_PORTS, PATTERN

_PARTS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\]/?#]*\]|[^\s:/?#@\[\]]*)"
    r"(?::(?P<port>[^/?#@]*))?(?P<path>/[^\s?#]*)?",
    re.IGNORECASE,
)


def checked(url: str) -> str:
    """The address in ASCII, without a default port or slashes at its end.

    Raises:
        ValueError: if it is no valid public URL, with the reason.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError("it must be http:// or https://, a host, if need be a port and a path")
    scheme, host = parts["scheme"].lower(), _in_ascii(parts["host"])
    address = f"{scheme}://{host}"
    if parts["port"] is not None and port_number(parts["port"]) != DEFAULT_PORTS[scheme]:
        address += f":{parts['port']}"
    if re.fullmatch(PATTERN[1:-1], address) is None:
        raise ValueError(f"{parts['host']!r} is no valid host")
    return address + quote((parts["path"] or "").rstrip("/"), safe="/%:=&~+!$,;'@()*")


def port_number(port: str) -> int:
    """The number of a port; raises `ValueError` if it is none."""
    if re.fullmatch("[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65_535:
        raise ValueError(f"the port {port!r} is not a number from 1 to 65535")
    return int(port)


def _in_ascii(host: str) -> str:
    """The host in lower case and punycode."""
    if host.isascii():
        return host.lower()
    import idna  # large, and rarely needed

    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no valid host: {error}") from None
