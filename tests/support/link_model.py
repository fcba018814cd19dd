"""A model of the API in a few lines of Python: its responses, and its links afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

RESERVED = ("admin", "L0GIN", "rob-ots", "cIear"[:2])  # the last is too short
Members = Mapping[str, Any]


@dataclass
class ModelLink:
    """State of a link."""

    code: str
    owner: str
    shown: dict[str, Any]
    deleted: bool = False
    clicks: int = 0

    @property
    def version(self) -> int:
        """Version; each change increments it."""
        version: int = self.shown["version"]
        return version

    @property
    def has_ended(self) -> bool:
        """True if it is disabled, expired or used up."""
        expires_at = self.shown["expires_at"]
        return (
            self.shown["disabled"]
            or (expires_at is not None and datetime.fromisoformat(expires_at).timestamp() < now())
            or self.is_used_up
        )

    @property
    def is_used_up(self) -> bool:
        """True if it has reached its click limit."""
        most = self.shown["max_clicks"]
        return most is not None and self.shown["uses"] >= most

    def follow(self, *, is_click: bool) -> int:
        """Return the status of a redirect; count a click, also against a limit."""
        if self.deleted:
            return 404
        if self.has_ended:
            return 410
        if is_click:
            self.clicks += 1
            self.shown["uses"] += self.shown["max_clicks"] is not None
        return 302

    def change(self, members: Members) -> None:
        """Apply a change."""
        self.shown.update(members, version=self.version + 1)


@dataclass
class Model:
    """All links of an example, ended ones included, and responses by idempotency key."""

    links: list[ModelLink] = field(default_factory=list)
    keys: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)

    def creation(self, owner: str, key: str | None, wanted: Sequence[Members], bulk: bool) -> int:
        """Return the expected status of a request to create these links."""
        aliases = [each["alias"] for each in wanted if "alias" in each]
        if any(alias in RESERVED for alias in aliases) or len({*aliases}) < len(aliases):
            return 422
        if key is not None and (earlier := self.keys.get((owner, key))):
            return 201 if earlier[0] == fingerprint(wanted, bulk) else 422
        return 409 if self.taken(wanted) else 201

    def taken(self, wanted: Sequence[Members]) -> list[int]:
        """Return the indexes of links whose alias is or was taken."""
        codes = {link.code for link in self.links}
        return [index for index, each in enumerate(wanted) if each.get("alias") in codes]

    def of(self, owner: str) -> dict[str, dict[str, Any]]:
        """Return the links that an owner's list should show, by code."""
        return {
            link.code: link.shown for link in self.links if link.owner == owner and not link.deleted
        }


def fingerprint(wanted: Sequence[Members], bulk: bool) -> str:
    """Return equal text for equal requests."""
    return json.dumps([bulk, *wanted], sort_keys=True)


def now() -> float:
    """Return seconds since the epoch; tests wait until an expiry is safely past."""
    return time.time()
