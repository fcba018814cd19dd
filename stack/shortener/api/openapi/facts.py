"""What the description needs to know of a deployment, and the little that its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class DeploymentFacts:
    """What differs between deployments."""

    base: str
    needs_key: bool
    is_rate_limited: bool
    bulk_max_links: int
    body_longest: int
    bulk_body_max_bytes: int


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}
