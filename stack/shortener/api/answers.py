"""JSON bodies of responses, as models, from which the OpenAPI document has their schemas."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from stack.shortener.api.bodies import DISABLED, EXPIRY, MaxClicks
from stack.shortener.api.link_statistics import DAYS_MAX, REFERRERS_MAX
from stack.shortener.api.validation import CURSOR_PATTERN
from stack.shortener.infra.codes import CODE

CODE_PATTERN = f"^{CODE.pattern}$"
_Code = Annotated[str, Field(pattern=CODE_PATTERN)]
_Count = Annotated[int, Field(ge=0)]
_Cursor = Annotated[str, Field(pattern=CURSOR_PATTERN)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShortLink(_Answer):
    """A link with all that its owner may see; the shell examples rely on `code` being first."""

    code: _Code = Field(description="The path of the short link.")
    url: str = Field(description="The target, as sent to visitors.")
    version: int = Field(
        ge=1, description="Incremented by each change; the ETag is this number in quotes."
    )
    disabled: Annotated[bool, WithJsonSchema(DISABLED)]
    expires_at: Annotated[datetime, WithJsonSchema(EXPIRY)] | None
    max_clicks: MaxClicks
    uses: _Count = Field(description="Redirects so far, counted only while `max_clicks` is set.")
    created_at: datetime = Field(description="Time of creation.")
    updated_at: datetime = Field(description="Time of the last change.")


class Link(ShortLink):
    """A link with the address at which a client reaches it."""

    short_url: str = Field(description="The short link as a whole address.")


class Links(_Answer):
    """The links of a bulk request."""

    links: list[Link]


class Page(Links):
    """A page of links."""

    next: _Cursor | None = Field(
        description="The value of `after` for the next page; null on the last page."
    )


class DayClicks(_Answer):
    """Clicks of one day."""

    day: date
    total: _Count
    bots: _Count


class ReferrerClicks(_Answer):
    """Clicks from one site."""

    referrer: str
    total: _Count


class Stats(_Answer):
    """Statistics of a link."""

    code: _Code
    total: _Count = Field(description="Clicks of people and bots.")
    bots: _Count = Field(description="Clicks of programs that identify themselves as such.")
    visitors: _Count = Field(
        description="Estimated number of distinct people, within a few per cent."
    )
    days: list[DayClicks] = Field(
        description=f"Clicks by day (UTC), newest first; at most {DAYS_MAX} days."
    )
    referrers: list[ReferrerClicks] = Field(
        description=f"The {REFERRERS_MAX} sites with most clicks; '' is no site."
    )


class InvalidMember(_Answer):
    """What is wrong with a member of the request."""

    pointer: str
    detail: str


class Problem(_Answer):
    """An error. Sent by `stack.shortener.http.problems`, as a message may quote what is no Unicode
    text, such as half a surrogate pair, and pydantic serialises only text.
    """

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    errors: list[InvalidMember] = Field(
        default=[], min_length=1, description="The invalid members of the request, by JSON pointer."
    )


MODELS = (Link, Links, Page, Stats, Problem)
