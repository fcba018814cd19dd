"""Facts of a deployment that the OpenAPI document shows, and shared helpers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class DeploymentFacts:
    """Values that differ between deployments."""

    base: str
    needs_key: bool
    is_rate_limited: bool
    bulk_max_links: int
    api_body_max_bytes: int
    bulk_body_max_bytes: int


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}
