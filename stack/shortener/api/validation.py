"""What a request may say, checked before anything else sees it; what is wrong is a `Problem`."""

from __future__ import annotations

import codecs
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stack.shortener.api import aliases, qr_code
from stack.shortener.http.characters import at
from stack.shortener.http.problems import Problem, Wrong
from stack.shortener.http.targets import TargetRules
from stack.shortener.infra.codes import CODE

MOST_CLICKS = 1_000_000_000
PAGE_LONGEST, PAGE_DEFAULT = 100, 20
KEY_PATTERN = "^[!-~]{1,200}$"
CURSOR_PATTERN = f"^[0-9]{{1,17}}[.]{CODE.pattern}$"
_TAG = '(?:W/)?"[!#-~]*"'
TAGS_PATTERN = rf"^(?:[*]|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*)$"

_KEY = re.compile(KEY_PATTERN[1:-1])
_CURSOR = re.compile(CURSOR_PATTERN[1:-1])
_TAGS = re.compile(TAGS_PATTERN[1:-1])
_STRONG_VERSION = re.compile('(?<!/)"([0-9]{1,18})"')
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANYWHERE = TargetRules()


@dataclass(frozen=True)
class NewLink:
    """A link to be made; without an alias it gets a random code."""

    url: str
    alias: str | None = None
    expires_at: datetime | None = None
    max_clicks: int | None = None


@dataclass(frozen=True)
class LinkChange:
    """What to change of a link: `None` for what stays; an expiry and a limit can also be ended."""

    url: str | None = None
    disabled: bool | None = None
    expires_at: datetime | None = None
    sets_expiry: bool = False
    max_clicks: int | None = None
    sets_limit: bool = False


@dataclass(frozen=True)
class Cursor:
    """A place in the list of links, newest first: right after the link with these two."""

    created_at: datetime
    code: str

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}.{self.code}"


@dataclass(frozen=True)
class PageRequest:
    """Which part of the list is asked for."""

    limit: int = PAGE_DEFAULT
    after: Cursor | None = None


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a body."""
    try:
        members = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unlike
        )
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8: see its byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {_not_json(body, error)}") from None
    if not isinstance(members, dict):
        raise Problem(422, "the body must be a JSON object")
    return members


def _not_json(body: bytes, error: ValueError | RecursionError) -> str:
    """Why, and where."""
    if not body.strip():
        return "it is empty"
    if body.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark, which does not belong there"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        why = error.msg[:1].lower() + error.msg[1:]
        return f"{why}, at line {error.lineno}, column {error.colno}"
    return str(error).partition(":")[0]  # a name that is no value, or a number without end


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; of two members with one name, other programs might read the other one."""
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise Problem(400, f"the body has the member {_quoted(twice)} twice")
    return members


def new_link(
    members: Mapping[str, Any], now: datetime, targets: TargetRules = _ANYWHERE, base: str = ""
) -> NewLink:
    """The link that a create request asks for, which was sent to `base`."""
    _only(members, {"url", "alias", "expires_at", "max_clicks"})
    if "url" not in members:
        raise Problem(422, "url is missing", field="url")
    alias = members.get("alias")
    expires_at = _moment(members.get("expires_at"))
    if expires_at is not None and expires_at <= now:
        raise Problem(422, "expires_at is in the past", field="expires_at")
    return NewLink(
        url=targets.checked(members["url"], base),
        alias=None if alias is None else aliases.checked(alias),
        expires_at=expires_at,
        max_clicks=_clicks(members.get("max_clicks")),
    )


def new_links(
    members: Mapping[str, Any],
    now: datetime,
    most: int,
    targets: TargetRules = _ANYWHERE,
    base: str = "",
) -> list[NewLink]:
    """The links that a bulk request asks for; if some are wrong, the problem names all of those."""
    _only(members, {"links"})
    wanted = members.get("links")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= most:
        raise Problem(422, f"links must be a list of 1 to {most} links", field="links")
    links: list[NewLink] = []
    wrong: list[Wrong] = []
    for index, each in enumerate(wanted):
        at = f"#/links/{index}"
        try:
            if not isinstance(each, dict):
                raise Problem(422, "each link must be a JSON object")
            links.append(new_link(each, now, targets, base))
        except Problem as problem:
            wrong += [(at + where[1:], what) for where, what in problem.wrong] or [
                (at, problem.detail)
            ]
    _refuse(wrong or _given_twice(links))
    return links


def _given_twice(links: Iterable[NewLink]) -> list[Wrong]:
    given: set[str] = set()
    wrong: list[Wrong] = []
    for index, link in enumerate(links):
        if link.alias in given:
            wrong.append((f"#/links/{index}/alias", "this alias is given twice"))
        elif link.alias is not None:
            given.add(link.alias)
    return wrong


def _refuse(wrong: list[Wrong]) -> None:
    if wrong:
        at, what = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Problem(422, f"no link was made: {at} {what}{more}", wrong=wrong)


def change(
    members: Mapping[str, Any], targets: TargetRules = _ANYWHERE, base: str = ""
) -> LinkChange:
    """What a change request asks for; an expiry in the past ends the link at once."""
    _only(members, {"url", "disabled", "expires_at", "max_clicks"})
    if not members:
        raise Problem(422, "nothing to change; give url, disabled, expires_at or max_clicks")
    disabled = members.get("disabled")
    if "disabled" in members and not isinstance(disabled, bool):
        raise Problem(422, "disabled must be true or false", field="disabled")
    return LinkChange(
        url=targets.checked(members["url"], base) if "url" in members else None,
        disabled=disabled,
        expires_at=_moment(members.get("expires_at")),
        sets_expiry="expires_at" in members,
        max_clicks=_clicks(members.get("max_clicks")),
        sets_limit="max_clicks" in members,
    )


def idempotency_key(value: str | None) -> str | None:
    """The key that makes a create request safe to repeat."""
    if value is not None and _KEY.fullmatch(value) is None:
        unwanted = re.search("[^!-~]", value)
        found = at(value, unwanted.start()) if unwanted else f"{len(value)} of them"
        rule = "Idempotency-Key must be 1 to 200 visible ASCII characters"
        raise Problem(422, f"{rule}; it has {found}")
    return value


def versions(if_match: str | None) -> list[int] | None:
    """The versions that a change is meant for; `None` if any will do. A weak tag never matches."""
    if if_match is None or if_match.strip() == "*":
        return None
    if _TAGS.fullmatch(if_match.strip()) is None:
        raise Problem(400, 'If-Match must be * or ETags, as "3"')
    return [int(version) for version in _STRONG_VERSION.findall(if_match)]


def page(query: Iterable[tuple[str, str]]) -> PageRequest:
    """The part of the list that a query asks for."""
    given = parameters(query, {"limit", "after"})
    limit = _number("limit", given.get("limit", str(PAGE_DEFAULT)), PAGE_LONGEST)
    after = given.get("after")
    if after is not None and _CURSOR.fullmatch(after) is None:
        raise Problem(422, "after must be the `next` of an earlier answer")
    return PageRequest(limit, None if after is None else _cursor(after))


def _cursor(after: str) -> Cursor:
    microseconds, _, code = after.partition(".")
    return Cursor(_EPOCH + timedelta(microseconds=int(microseconds)), code)


def picture(query: Iterable[tuple[str, str]]) -> tuple[str, int]:
    """The kind of picture that a query asks for, and its scale."""
    given = parameters(query, {"format", "scale"})
    form, scale = (
        given.get("format", qr_code.FORMATS[0]),
        given.get("scale", str(qr_code.SCALE_DEFAULT)),
    )
    if form not in qr_code.FORMATS:
        raise Problem(422, f"format must be {' or '.join(qr_code.FORMATS)}")
    return form, _number("scale", scale, qr_code.SCALE_MOST)


def _number(name: str, value: str, most: int) -> int:
    if re.fullmatch("[0-9]{1,9}", value) is None or not 1 <= int(value) <= most:
        raise Problem(422, f"{name} must be a number from 1 to {most}")
    return int(value)


def parameters(query: Iterable[tuple[str, str]], known: set[str]) -> dict[str, str]:
    """The parameters of a query, each once."""
    given: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            raise Problem(422, _no_such("parameter", name, known))
        if name in given:
            raise Problem(422, f"{name} is given twice")
        given[name] = value
    return given


def _only(members: Mapping[str, Any], known: set[str]) -> None:
    for name in members:
        if name not in known:
            pointer = name.replace("~", "~0").replace("/", "~1")
            raise Problem(422, _no_such("member", name, known), field=pointer)


def _no_such(kind: str, name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {kind} {_quoted(name)}, but {', '.join(sorted(known))}{meant}"


def _quoted(name: str) -> str:
    """A name that somebody sent, as JSON has it: no more than one can read."""
    return json.dumps(name if len(name) <= 60 else f"{name[:60]}…")


def _clicks(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # JSON has but one kind of number
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CLICKS:
        detail = f"max_clicks must be a whole number from 1 to {MOST_CLICKS}"
        raise Problem(422, detail, field="max_clicks")
    return value


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
            raise ValueError
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "expires_at must be an RFC 3339 time with its offset, as 2030-01-31T12:00:00Z"
        raise Problem(422, detail, field="expires_at") from None
