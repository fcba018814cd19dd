"""The finding of a check of a run: INVALID where anything is odd, or where there was no data."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.model.evidence import Finding, Verdict


def guard(text: str, odd: Sequence[str], fine: str, *, seen: float) -> Finding:
    """Judge by what is odd, each oddity once; `fine` says what was observed if nothing is.

    `seen` counts what was looked at: without any, nothing was tested.
    """
    if odd:
        return Finding(text, Verdict.INVALID, "; ".join(dict.fromkeys(odd)))
    if not seen:
        return Finding(text, Verdict.INVALID, "there was nothing to judge it by")
    return Finding(text, Verdict.PASS, fine)
