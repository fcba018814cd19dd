"""JSON bodies of requests: read within bounds of size and time, parsed, and validated by models.

Errors are `Problem`s with a JSON pointer to each invalid member.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from stack.shortener.api import aliases
from stack.shortener.api.validation import EPOCH, no_such, quoted
from stack.shortener.http.problems import Problem, Wrong
from stack.shortener.http.targets import LONGEST, PATTERN, TargetRules

CLICKS_MAX = 1_000_000_000
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_ANYWHERE = TargetRules()
_RULES = {  # for what pydantic itself finds wrong with a member
    "url": "url is missing",
    "max_clicks": f"max_clicks must be a whole number from 1 to {CLICKS_MAX}",
    "links": "links must be a list of 1 to {links_max} links",
}

Body = TypeVar("Body", bound=BaseModel)

_URL = {
    "type": "string",
    "maxLength": LONGEST,
    "pattern": PATTERN,
    "examples": ["https://example.org/page"],
    "description": "The target: an http or https URL without user and password, and not one of "
    "ours. Characters that a URL may not contain (other scripts, `|`, `^`, a stray `%`) are "
    f"percent-encoded; the result has at most {LONGEST} characters.",
}
_ALIAS = {
    "type": "string",
    "pattern": aliases.PATTERN,
    "examples": ["spring-sale"],
    "description": "The code; random if absent. Reserved words and their look-alikes are rejected.",
}
EXPIRY = {
    "type": "string",
    "format": "date-time",
    "examples": ["2099-12-31T23:59:59Z"],
    "description": "When the link expires, with UTC offset; null: never.",
}
_FUTURE = {**EXPIRY, "description": "When the link expires, in the future; null: never."}
DISABLED = {"type": "boolean", "description": "True while the link is switched off."}


class _Context(NamedTuple):
    now: datetime
    targets: TargetRules
    base: str


def _target(value: object, info: Any) -> str:
    context: _Context = info.context
    try:
        return context.targets.checked(value, context.base)
    except Problem as problem:
        raise ValueError(problem.detail) from None


def _moment(value: object) -> datetime:
    try:
        if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
            raise ValueError
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "expires_at must be an RFC 3339 time with its offset, as 2030-01-31T12:00:00Z"
        raise ValueError(detail) from None


def _future(value: object, info: Any) -> datetime:
    moment = _moment(value)
    if moment <= info.context.now:
        raise ValueError("expires_at is in the past")
    return moment


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("disabled must be true or false")
    return value


def _whole(value: object) -> object:
    """1.0 is an integer, too: JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Clicks = Annotated[int, Field(strict=True, ge=1, le=CLICKS_MAX), BeforeValidator(_whole)]
MaxClicks = Annotated[
    _Clicks | None,
    Field(description="Exact number of redirects allowed; null: no limit.", examples=[1000]),
]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_members_only(cls, members: Any) -> Any:
        if not isinstance(members, dict):
            raise ValueError("each link must be a JSON object")
        known = cls.model_fields
        for name in members:
            if name not in known:
                raise ValueError(no_such("member", name, known), name)
        return members


class NewLink(_Body):
    """A link to create; without an alias it gets a random code."""

    url: Annotated[str, PlainValidator(_target), WithJsonSchema(_URL)]
    alias: Annotated[str, PlainValidator(aliases.checked), WithJsonSchema(_ALIAS)] | None = None
    expires_at: Annotated[datetime, PlainValidator(_future), WithJsonSchema(_FUTURE)] | None = None
    max_clicks: MaxClicks = None


class LinkChange(_Body):
    """Changes of a link: `None` for no change, unless `sets_expiry` or `sets_limit`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    url: Annotated[str | None, PlainValidator(_target), WithJsonSchema(_URL)] = None
    disabled: Annotated[bool | None, PlainValidator(_boolean), WithJsonSchema(DISABLED)] = None
    expires_at: Annotated[datetime, PlainValidator(_moment), WithJsonSchema(EXPIRY)] | None = None
    max_clicks: MaxClicks = None

    @property
    def sets_expiry(self) -> bool:
        """True if `expires_at` is given; `None` then removes it."""
        return "expires_at" in self.model_fields_set

    @property
    def sets_limit(self) -> bool:
        """True if `max_clicks` is given; `None` then removes it."""
        return "max_clicks" in self.model_fields_set


@lru_cache(maxsize=8)
def bulk_body(links_max: int) -> type[BaseModel]:
    """The model of a bulk request."""
    about = f"1 to {links_max} links."
    links = Field(min_length=1, max_length=links_max, description=about)
    return create_model("NewLinks", __base__=_Body, links=(list[NewLink], links))


async def members(request: Request, max_bytes: int, timeout_s: float) -> dict[str, Any]:
    """The members of the JSON object in the body; raises `Problem`."""
    headers = request.headers
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body must be application/json")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "the body must not be compressed")
    try:
        async with asyncio.timeout(timeout_s):
            return parse(await _read(request, max_bytes))
    except TimeoutError:
        close = {"Connection": "close"}
        raise Problem(408, f"the body took longer than {timeout_s:g} s", headers=close) from None
    except ClientDisconnect:
        raise Problem(400, "the body ended too early") from None


async def _read(request: Request, max_bytes: int) -> bytes:
    """Read the body; its Content-Length is not trusted."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise Problem(413, f"the body is longer than {max_bytes} bytes")
    return bytes(body)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; duplicate members are rejected."""
    try:
        members = json.loads(
            body.decode("utf-8"),
            parse_constant=_reject_constant,
            object_pairs_hook=_without_duplicates,
        )
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8: see its byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {_json_fault(body, error)}") from None
    if not isinstance(members, dict):
        raise Problem(422, "the body must be a JSON object")
    return members


def _json_fault(body: bytes, error: ValueError | RecursionError) -> str:
    """The reason and the position."""
    if not body.strip():
        return "it is empty"
    if body.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark, which does not belong there"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        why = error.msg[:1].lower() + error.msg[1:]
        return f"{why}, at line {error.lineno}, column {error.colno}"
    return str(error).partition(":")[0]  # NaN, Infinity, or a number with too many digits


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; of two members with one name, other parsers might take the other one."""
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise Problem(400, f"the body has the member {quoted(twice)} twice")
    return members


def new_link(
    members: Mapping[str, Any], now: datetime, targets: TargetRules = _ANYWHERE, base: str = ""
) -> NewLink:
    """The link of a create request that was sent to `base`."""
    return _validated(NewLink, members, _Context(now, targets, base))


def new_links(
    members: Mapping[str, Any],
    now: datetime,
    most: int,
    targets: TargetRules = _ANYWHERE,
    base: str = "",
) -> list[NewLink]:
    """The links of a bulk request; the `Problem` names every invalid one."""
    body: Any = _validated(bulk_body(most), members, _Context(now, targets, base), most)
    links: list[NewLink] = body.links
    given: set[str] = set()
    wrong: list[Wrong] = []
    for index, link in enumerate(links):
        if link.alias in given:
            wrong.append((f"#/links/{index}/alias", "this alias is given twice"))
        elif link.alias is not None:
            given.add(link.alias)
    if wrong:
        raise _problem(wrong)
    return links


def change(
    members: Mapping[str, Any], targets: TargetRules = _ANYWHERE, base: str = ""
) -> LinkChange:
    """The changes of a PATCH request; an expiry in the past ends the link at once."""
    if not members:
        raise Problem(422, "nothing to change; give url, disabled, expires_at or max_clicks")
    return _validated(LinkChange, members, _Context(EPOCH, targets, base))


def _validated(
    model: type[Body], members: Mapping[str, Any], context: _Context, links_max: int = 0
) -> Body:
    try:
        return model.model_validate(members, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _problem([_wrong(each, links_max) for each in details]) from None


def _wrong(error: ErrorDetails, links_max: int) -> Wrong:
    """The JSON pointer and the message of an error."""
    place = list(error["loc"])
    if error["type"] == "value_error":
        what, *unknown = error["ctx"]["error"].args
        place += unknown
    else:
        what = _RULES[str(place[-1])].format(links_max=links_max)
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in place)
    return "/".join(["#", *escaped]), what


def _problem(wrong: list[Wrong]) -> Problem:
    at, what = wrong[0]
    if not at.startswith("#/links/"):
        return Problem(422, what, wrong=wrong)
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Problem(422, f"no link was made: {at} {what}{more}", wrong=wrong)
