"""`docs/settings.md`, generated from the settings."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic.fields import FieldInfo

from stack.shortener.settings import FILE_VARIABLE, PREFIX, WebSettings, WorkerSettings

_HEAD = f"""# Settings of the shortener

Each is read once at start: from the environment, or from the file of `NAME=VALUE` lines that
`{FILE_VARIABLE}` names; the environment wins. A wrong or unknown one ends the process with
exit code 2 and a line that says what is wrong. Names ending in `_S` are seconds. The defaults are
meant for production. `linkstorm run --set` takes them without `{PREFIX}`. This page is written by
`python -m stack.shortener settings --markdown`.
"""
_SLOW = "When something is slow or gone"
_ABOUT = {
    _SLOW: "A redirect looks in the near cache, the cache, the replica and the primary, in this "
    "order and only as far as it must; if all fail it takes a cached link that is too old. What is "
    "down is left alone by a breaker, so that nobody waits for it, and is probed until it is back. "
    "Once an edit is answered every redirect heeds it, except where a process gets no answer from "
    "the cache: it then takes what the replica says, which may lag."
}
_SECTIONS = {
    "Where things are": (
        "listen name public_url trusted_proxies primary_url replica_url cache_url queue_url migrate"
    ),
    "Freshness and the cache": (
        "cache_fill cache_ttl_s cache_ttl_jitter stale_while_revalidate_s negative_ttl_s "
        "version_floor_s near_cache_ttl_s near_cache_size xfetch_beta fill_lock_ttl_s fill_wait_s"
    ),
    _SLOW: (
        "request_deadline_s cache_timeout_s replica_timeout_s primary_timeout_s queue_timeout_s "
        "pool_size primary_pool_size pool_timeout_s breaker_failures breaker_open_s retry_budget "
        "max_in_flight stale_if_error_s ready_wait_s drain_s shutdown_timeout_s"
    ),
    "Links and the API": (
        "code_length bulk_max_links api_body_max_bytes bulk_body_max_bytes api_body_timeout_s "
        "require_api_key api_key_cache_ttl_s api_rate_per_s api_burst refuse_private_targets"
    ),
    "Clicks": (
        "click_mode click_flush_s click_batch click_buffer click_attempts click_wait_s "
        "click_stream_mb"
    ),
    "The worker and its chores": (
        "worker_batch worker_gather_s worker_block_s worker_claim_idle_s worker_backoff_s "
        "outbox_poll_s sweep_interval_s expired_link_retention_s click_retention_days "
        "idempotency_key_ttl_s"
    ),
}


def markdown() -> str:
    """The whole page; settings that are in no section come last, under "Others"."""
    fields = WebSettings.model_fields | WorkerSettings.model_fields
    groups = {title: names.split() for title, names in _SECTIONS.items()}
    named = {name for names in groups.values() for name in names}
    groups["Others"] = [name for name in fields if name not in named]
    sections = [_section(title, names, fields) for title, names in groups.items() if names]
    return "\n".join([_HEAD, *sections])


def _section(title: str, names: list[str], fields: Mapping[str, FieldInfo]) -> str:
    about = f"{_ABOUT[title]}\n\n" if title in _ABOUT else ""
    rows = "".join(_row(name, fields[name]) for name in names)
    return (
        f"## {title}\n\n{about}| setting | default | what it is for | why |\n|---|---|---|---|\n"
        + rows
    )


def _row(name: str, field: FieldInfo) -> str:
    what, _, why = (field.description or "").partition("; ")
    cells = f"`{PREFIX}{name.upper()}`", _default(field), what, why
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    if field.default == "":
        return "empty"
    value = f"{field.default:.12g}" if isinstance(field.default, float) else str(field.default)
    return f"`{value}`"
