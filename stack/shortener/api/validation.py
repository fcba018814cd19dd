"""Validation of headers and query parameters; errors are `Problem`s."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stack.shortener.api import qr_code
from stack.shortener.http.characters import at
from stack.shortener.http.problems import Problem
from stack.shortener.infra.codes import CODE

PAGE_MAX, PAGE_DEFAULT = 100, 20
KEY_PATTERN = "^[!-~]{1,200}$"
CURSOR_PATTERN = f"^[0-9]{{1,17}}[.]{CODE.pattern}$"
_TAG = '(?:W/)?"[!#-~]*"'
TAGS_PATTERN = rf"^(?:[*]|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*)$"

_KEY = re.compile(KEY_PATTERN[1:-1])
_CURSOR = re.compile(CURSOR_PATTERN[1:-1])
_TAGS = re.compile(TAGS_PATTERN[1:-1])
_STRONG_VERSION = re.compile('(?<!/)"([0-9]{1,18})"')
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cursor:
    """A position in the list of links, newest first: after the link with these values."""

    created_at: datetime
    code: str

    def __str__(self) -> str:
        return f"{(self.created_at - EPOCH) // timedelta(microseconds=1)}.{self.code}"


@dataclass(frozen=True)
class PageRequest:
    """The requested page of the list."""

    limit: int = PAGE_DEFAULT
    after: Cursor | None = None


def idempotency_key(value: str | None) -> str | None:
    """The Idempotency-Key of a create request."""
    if value is not None and _KEY.fullmatch(value) is None:
        unwanted = re.search("[^!-~]", value)
        found = at(value, unwanted.start()) if unwanted else f"{len(value)} of them"
        rule = "Idempotency-Key must be 1 to 200 visible ASCII characters"
        raise Problem(422, f"{rule}; it has {found}")
    return value


def versions(if_match: str | None) -> list[int] | None:
    """The versions in If-Match, `None` for any. Weak tags never match."""
    if if_match is None or if_match.strip() == "*":
        return None
    if _TAGS.fullmatch(if_match.strip()) is None:
        raise Problem(400, 'If-Match must be * or ETags, as "3"')
    return [int(version) for version in _STRONG_VERSION.findall(if_match)]


def page(query: Iterable[tuple[str, str]]) -> PageRequest:
    """The page that a query requests."""
    given = parameters(query, {"limit", "after"})
    limit = _number("limit", given.get("limit", str(PAGE_DEFAULT)), PAGE_MAX)
    after = given.get("after")
    if after is not None and _CURSOR.fullmatch(after) is None:
        raise Problem(422, "after must be the `next` of an earlier answer")
    return PageRequest(limit, None if after is None else _cursor(after))


def _cursor(after: str) -> Cursor:
    microseconds, _, code = after.partition(".")
    return Cursor(EPOCH + timedelta(microseconds=int(microseconds)), code)


def qr_options(query: Iterable[tuple[str, str]]) -> tuple[str, int]:
    """The image format and the scale that a query requests."""
    given = parameters(query, {"format", "scale"})
    image_format = given.get("format", qr_code.FORMATS[0])
    scale = given.get("scale", str(qr_code.SCALE_DEFAULT))
    if image_format not in qr_code.FORMATS:
        raise Problem(422, f"format must be {' or '.join(qr_code.FORMATS)}")
    return image_format, _number("scale", scale, qr_code.SCALE_MAX)


def _number(name: str, value: str, most: int) -> int:
    if re.fullmatch("[0-9]{1,9}", value) is None or not 1 <= int(value) <= most:
        raise Problem(422, f"{name} must be a number from 1 to {most}")
    return int(value)


def parameters(query: Iterable[tuple[str, str]], known: set[str]) -> dict[str, str]:
    """The parameters of a query; unknown and repeated ones are rejected."""
    given: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            raise Problem(422, no_such("parameter", name, known))
        if name in given:
            raise Problem(422, f"{name} is given twice")
        given[name] = value
    return given


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest known one."""
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {kind} {quoted(name)}, but {', '.join(sorted(known))}{meant}"


def quoted(name: str) -> str:
    """A name from the request as a JSON string, cut to 60 characters."""
    return json.dumps(name if len(name) <= 60 else f"{name[:60]}…")
