"""What a request may say, checked before anything else sees it; what is wrong is a `Problem`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from stack.shortener.problems import Problem

URL_LONGEST = 2048
_ALIAS = re.compile(r"[A-Za-z0-9_-]{3,64}")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}\.?)*|\[[0-9a-fA-F:.]+\]")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_UNSAFE = re.compile(r'[\x00-\x20\x7f-\xa0\\<>"\u2028\u2029\ud800-\udfff]')
_RESERVED = frozenset({"api", "docs", "healthz", "readyz", "metrics", "openapi"})


@dataclass(frozen=True)
class NewLink:
    """A link to be made; without an alias it gets a random code."""

    url: str
    alias: str | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Change:
    """What to change of a link: `None` for what stays; an expiry can also be cleared."""

    url: str | None
    disabled: bool | None
    expires_at: datetime | None
    sets_expiry: bool


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a body."""
    try:
        members = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Problem(400, "the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON") from None
    if not isinstance(members, dict):
        raise Problem(422, "the body must be a JSON object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def new_link(members: dict[str, Any], now: datetime) -> NewLink:
    """The link that a create request asks for."""
    _only(members, {"url", "alias", "expires_at"})
    if "url" not in members:
        raise Problem(422, "url is missing", field="url")
    expires_at = _moment(members.get("expires_at"))
    if expires_at is not None and expires_at <= now:
        raise Problem(422, "expires_at is in the past", field="expires_at")
    return NewLink(_url(members["url"]), _alias(members.get("alias")), expires_at)


def change(members: dict[str, Any]) -> Change:
    """What a change request asks for; an expiry in the past ends the link at once."""
    _only(members, {"url", "disabled", "expires_at"})
    if not members:
        raise Problem(422, "nothing to change; give url, expires_at or disabled")
    disabled = members.get("disabled")
    if "disabled" in members and not isinstance(disabled, bool):
        raise Problem(422, "disabled must be true or false", field="disabled")
    return Change(
        url=_url(members["url"]) if "url" in members else None,
        disabled=disabled,
        expires_at=_moment(members.get("expires_at")),
        sets_expiry="expires_at" in members,
    )


def idempotency_key(value: str | None) -> str | None:
    """The key that makes a create request safe to repeat."""
    if value is not None and _KEY.fullmatch(value) is None:
        raise Problem(422, "Idempotency-Key must be 1 to 200 visible ASCII characters")
    return value


def _only(members: dict[str, Any], known: set[str]) -> None:
    for name in members:
        if name not in known:
            raise Problem(422, f"no such member; there are {', '.join(sorted(known))}", field=name)


def _url(value: object) -> str:
    """A target that is safe in a Location header, and can only lead to a web page."""
    if not isinstance(value, str) or not value:
        raise Problem(422, "url must be a string", field="url")
    if _UNSAFE.search(value):
        raise Problem(422, "url has control characters, spaces, or others not allowed", field="url")
    target = quote(value, safe="%/:=&?~#+!$,;'@()*[]|^`{}")
    if len(target) > URL_LONGEST:
        raise Problem(422, f"url is longer than {URL_LONGEST} characters", field="url")
    _check_parts(value)
    return target


def _check_parts(value: str) -> None:
    try:
        parts = urlsplit(value)
        _port = parts.port
    except ValueError as error:
        raise Problem(422, f"url is malformed: {error}", field="url") from None
    if parts.scheme not in ("http", "https"):
        raise Problem(422, "url must begin with http:// or https://", field="url")
    if "@" in parts.netloc:
        raise Problem(422, "url must not name a user or password", field="url")
    host = parts.netloc if parts.netloc.endswith("]") else parts.netloc.rpartition(":")[0]
    if _HOST.fullmatch(host or parts.netloc) is None:
        raise Problem(422, "url has no valid host; other scripts need punycode", field="url")


def _alias(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _ALIAS.fullmatch(value) is None:
        raise Problem(422, "alias must be 3 to 64 of A-Z a-z 0-9 _ -", field="alias")
    if value.lower() in _RESERVED:
        raise Problem(422, "alias is reserved", field="alias")
    return value


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise TypeError
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        detail = "expires_at must be an ISO 8601 time with its offset, as 2030-01-31T12:00:00Z"
        raise Problem(422, detail, field="expires_at") from None
