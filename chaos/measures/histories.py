"""Ground truth of redirects: each answer against the writes of its link, and of its session.

A link has one writer at a time, and its version counts its writes, so no order of them has to be
searched for (P. Gibbons, E. Korach: Testing shared memories, SIAM J. Comput. 26, 1997). The API
answers a create with version 1, an edit with the next one, and a delete with none; nothing comes
after a delete.

A write is over the interval from `sent_s` to `done_s`. One without an answer, or with a 5xx, may
have happened at any time from `sent_s` on, or never; with any other error it did not happen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from chaos.measures.known_versions import NONE, Bools, Known, earliest, nth, pairs
from chaos.model.evidence import Floats, Ints, Requests

ABSENT = 0  # version of a link before its creation
DELETED = int(np.iinfo(np.int64).max)  # later than every version


def acknowledged(requests: Requests, operation: str) -> Bools:
    """Mask of the requests for an operation that a client was told is done."""
    mask: Bools = (requests.operation == operation) & (requests.outcome == "ok")
    return mask


def may_have_happened(requests: Requests, operation: str) -> Bools:
    """Mask of the requests for an operation that were done, or may have been."""
    done = (requests.outcome == "ok") | (requests.outcome == "unknown")
    broken = (requests.outcome == "fail") & (requests.status >= 500)
    mask: Bools = (requests.operation == operation) & (done | broken)
    return mask


# --- what is known of each link -------------------------------------------------------------------


@dataclass(frozen=True)
class _Reads:
    """Follows that were answered, a column each; `row` is their place among the requests.

    `version` is `ABSENT` for a link that was not there. `least` and `most` are the versions that
    the answer may stand for: an absent link may be one that is not there yet, or a deleted one.
    """

    row: Ints
    link: Ints
    sent_s: Floats
    done_s: Floats
    absent: Bools
    version: Ints
    least: Ints
    most: Ints


@dataclass(frozen=True)
class _Links:
    """Times of each link, and the link of each request; inf is never.

    `creating_s`, `deleting_s`: it may have been created or deleted from then on; `deleted_s`: it
    certainly was. `edit_link` and `edit_s` are a row for each edit that may have happened, from
    `edit_s` on.
    """

    of_row: Ints
    creating_s: Floats
    deleting_s: Floats
    deleted_s: Floats
    edit_link: Ints
    edit_s: Floats
    reads: _Reads

    def possible_s(self, link: Ints, version: Ints) -> Floats:
        """The moment from which a link can have been at a version.

        Each edit begun by then may have raised it by one, whichever version it was acknowledged
        with: after a failover a version may be given again.
        """
        edited_s = nth(self.edit_link, self.edit_s, link, version - 1)
        since_s = np.where(version == 1, -np.inf, edited_s)
        return np.maximum(since_s, self.creating_s[link])


def _links(requests: Requests, prepared: int) -> _Links:
    ranks, of_row = np.unique(requests.rank, return_inverse=True)

    def begun(operation: str) -> Floats:
        may = may_have_happened(requests, operation)
        return earliest(of_row[may], requests.sent_s[may], len(ranks))

    deleting_s = begun("delete")
    edit = may_have_happened(requests, "edit")
    return _Links(
        of_row=of_row,
        creating_s=np.where(ranks < prepared, -np.inf, begun("create")),
        deleting_s=deleting_s,
        deleted_s=_deleted_s(requests, of_row, deleting_s),
        edit_link=of_row[edit],
        edit_s=requests.sent_s[edit],
        reads=_reads(requests, of_row, deleting_s),
    )


def _reads(requests: Requests, of_row: Ints, deleting_s: Floats) -> _Reads:
    follow = requests.operation == "follow"
    found = (requests.outcome == "ok") & (requests.version >= 0)
    row = np.flatnonzero(follow & (found | (requests.outcome == "absent")))
    absent = requests.outcome[row] == "absent"
    version = np.where(absent, ABSENT, requests.version[row])
    deleted = absent & (deleting_s[of_row[row]] <= requests.done_s[row])
    return _Reads(
        row=row,
        link=of_row[row],
        sent_s=requests.sent_s[row],
        done_s=requests.done_s[row],
        absent=absent,
        version=version,
        least=np.where(deleted & (requests.version[row] > 0), DELETED, version),
        most=np.where(deleted, DELETED, version),
    )


def _deleted_s(requests: Requests, of_row: Ints, deleting_s: Floats) -> Floats:
    """The moment of each link's acknowledged deletion, else of the first answer that showed it.

    A 404 names the version of a deletion; to a writer it comes from the primary.
    """
    told = acknowledged(requests, "delete")
    told_s = earliest(of_row[told], requests.done_s[told], len(deleting_s))
    proof = np.isin(requests.operation, ["edit", "delete"]) | (requests.version > 0)
    begun = deleting_s[of_row] <= requests.done_s
    shown = (requests.outcome == "absent") & proof & begun
    shown_s = earliest(of_row[shown], requests.done_s[shown], len(deleting_s))
    return np.where(np.isfinite(told_s), told_s, shown_s)


# --- the redirect window --------------------------------------------------------------------------


@dataclass(frozen=True)
class RedirectWindow:
    """Every answered follow against the writes of its link, a column each.

    `row` is its place among the requests. `staleness_s` is how long before it was sent the first
    newer version was complete: 0 if it is legal, inf if that was before the segment.
    `versions_behind` counts the versions that were (PBS's k-staleness; a deletion is one).
    `false_absent`: the link was there. `impossible`: no writer had begun that version yet.
    """

    row: Ints
    staleness_s: Floats
    versions_behind: Ints
    false_absent: Bools
    impossible: Bools

    def only(self, keep: Bools) -> RedirectWindow:
        """Some of the reads."""
        return RedirectWindow(*(getattr(self, field.name)[keep] for field in fields(self)))

    @property
    def stale(self) -> Bools:
        """Mask of the reads that a newer version preceded."""
        return np.greater(self.versions_behind, 0)

    @property
    def legal(self) -> Bools:
        """Mask of the reads that one current copy may have given."""
        return ~self.stale & ~self.impossible


def redirect_window(requests: Requests, prepared: int) -> RedirectWindow:
    """Judge the follows of a segment, whose links below rank `prepared` were there before it.

    A read from s to e of version i is legal iff version i was begun by e, and no version j > i was
    complete before s. An acknowledged version is complete with its answer; another one
    with the first answer to a read that shows it, or with that to a later write.
    """
    links = _links(requests, prepared)
    reads = links.reads
    impossible = ~reads.absent & (links.possible_s(reads.link, reads.version) > reads.done_s)
    complete = _complete(requests, links, impossible)
    gone_s = np.where(reads.most < DELETED, links.deleted_s[reads.link], np.inf)
    gone = gone_s < reads.sent_s
    newer_s = np.minimum(complete.first_beyond(reads.link, reads.most), gone_s)
    behind = _newer(complete, reads) + gone
    return RedirectWindow(
        row=reads.row,
        staleness_s=np.where(behind > 0, reads.sent_s - newer_s, 0.0),
        versions_behind=behind,
        false_absent=reads.absent & (behind > 0),
        impossible=impossible,
    )


def _newer(complete: Known, reads: _Reads) -> Ints:
    """The number of versions, beyond the one that was read, complete before the read was sent."""
    newest = complete.highest_before(reads.link, reads.sent_s)
    versions = np.append(complete.version, ABSENT)[newest]
    return np.maximum(versions - reads.most, 0)


def _complete(requests: Requests, links: _Links, impossible: Bools) -> Known:
    """The versions of links, each from a moment on at which it, or a later one, was in place."""
    version = np.where(requests.operation == "create", 1, requests.version)
    told = acknowledged(requests, "create") | (acknowledged(requests, "edit") & (version > 0))
    number = pairs(links.of_row, version)
    seen = links.reads.row[~links.reads.absent & ~impossible]
    shown = seen[~np.isin(number[seen], number[told])]
    rows = np.concatenate([np.flatnonzero(told), shown])
    early = np.flatnonzero(np.isneginf(links.creating_s))
    return Known(
        np.concatenate([early, links.of_row[rows]]),
        np.concatenate([np.ones(len(early), dtype=np.int64), version[rows]]),
        np.concatenate([np.full(len(early), -np.inf), requests.done_s[rows]]),
    )


# --- sessions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SessionOrder:
    """Every answered follow against what its session knew of the link, a column each.

    `forgets`: older than a version acknowledged to the session before (read your writes).
    `goes_back`: older than one it had read before (monotonic reads). D. Terry et al.: Session
    guarantees for weakly consistent replicated data, PDIS 1994.
    """

    row: Ints
    forgets: Bools
    goes_back: Bools


@dataclass(frozen=True)
class Visibility:
    """Follows of a session's own last write, against the time since it was acknowledged.

    The share that is `fresh` at t is the t-visibility of P. Bailis et al.: Probabilistically
    bounded staleness for practical partial quorums, PVLDB 5(8), 2012. `row` is their place among
    the requests.
    """

    row: Ints
    t_s: Floats
    fresh: Bools


def session_order(requests: Requests) -> SessionOrder:
    """Judge the follows of each session, which does one thing after the other."""
    reads = _links(requests, 0).reads
    session = pairs(requests.session, requests.rank)
    seen = Known(session[reads.row], reads.least, reads.done_s)
    before = _known_to_session(seen, session, reads)
    versions = np.append(seen.version, NONE)
    return SessionOrder(
        row=reads.row,
        forgets=_own_writes(requests, reads, session)[1] > reads.most,
        goes_back=versions[before] > reads.most,
    )


def visibility(requests: Requests) -> Visibility:
    """The follows of links that their session had written before, with the age of that write."""
    reads = _links(requests, 0).reads
    told_s, version = _own_writes(requests, reads, pairs(requests.session, requests.rank))
    own = version != NONE
    fresh = reads.most >= version
    return Visibility(reads.row[own], (reads.sent_s - told_s)[own], fresh[own])


def _own_writes(requests: Requests, reads: _Reads, session: Ints) -> tuple[Floats, Ints]:
    """When the newest write of each read's session was acknowledged, and its version or `NONE`."""
    created, deleted = (acknowledged(requests, name) for name in ("create", "delete"))
    edited = acknowledged(requests, "edit") & (requests.version > 0)
    version = np.select([created, deleted], [1, DELETED], requests.version)
    told = created | deleted | edited
    known = Known(session[told], version[told], requests.done_s[told])
    newest = _known_to_session(known, session, reads)
    return np.append(known.t_s, np.nan)[newest], np.append(known.version, NONE)[newest]


def _known_to_session(known: Known, session: Ints, reads: _Reads) -> Ints:
    """The row of the highest version that the session of each read knew when it was sent."""
    just_after_s = np.nextafter(reads.sent_s, np.inf)  # it sends the next request upon an answer
    return known.highest_before(session[reads.row], just_after_s)
