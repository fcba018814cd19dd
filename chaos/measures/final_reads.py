"""Ground truth of writes: what clients were told against what the primary holds in the end.

The final read comes after heal and drain. Without it there is no verdict. A write without an answer
is unknown: it may be held or not, and is never lost (K. Kingsbury: Jepsen's `set-full` checker).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaos.measures.histories import acknowledged, may_have_happened
from chaos.measures.known_versions import Bools, pairs
from chaos.model.evidence import Ints, Requests


@dataclass(frozen=True)
class Held:
    """The links that the primary holds in the end, a column each.

    `rank` is the link's number, which two rows have if it was created twice. A deleted link may be
    left out; where it is not, its version is that of the deletion.
    """

    rank: Ints
    version: Ints
    deleted: Bools


@dataclass(frozen=True)
class WriteAccount:
    """Writes of one kind: counts, and for each that is not as it should be the rank of its link.

    `lost`: acknowledged, not held. `recovered`: unknown, but held. `unexpected`: held, although
    no request explains it. `duplicated`: a link created more than once, or a version that several
    edits were acknowledged with, all but one of which are lost.
    """

    attempted: int
    acknowledged: int
    held: int
    lost: Ints
    recovered: Ints
    unexpected: Ints
    duplicated: Ints

    @property
    def sound(self) -> bool:
        """True if everything acknowledged is held once, and nothing else but the unknown."""
        return not (len(self.lost) or len(self.unexpected) or len(self.duplicated))


def created_links(requests: Requests, held: Held | None, prepared: int) -> WriteAccount | None:
    """The account of links; those below rank `prepared` were acknowledged before the segment.

    A link that a delete may have removed is not lost. `None` without a final read.
    """
    if held is None:
        return None
    before = np.arange(prepared, dtype=np.int64)
    told = np.union1d(before, requests.rank[acknowledged(requests, "create")])
    tried = np.union1d(before, requests.rank[may_have_happened(requests, "create")])
    removable = requests.rank[may_have_happened(requests, "delete")]
    there, rows = np.unique(held.rank, return_counts=True)
    return WriteAccount(
        attempted=len(tried),
        acknowledged=len(told),
        held=len(there),
        lost=np.setdiff1d(np.setdiff1d(told, held.rank[~held.deleted]), removable),
        recovered=np.setdiff1d(np.intersect1d(there, tried), told),
        unexpected=np.setdiff1d(there, tried),
        duplicated=np.repeat(there, rows - 1),
    )


def changed_links(requests: Requests, held: Held | None) -> WriteAccount | None:
    """The account of edits and deletes; `None` without a final read.

    An edit is lost if its version is higher than the one held, a delete if the link is still
    there. Each unknown edit explains one version that no edit was acknowledged with. Every try
    of an operation counts.
    """
    if held is None:
        return None
    changes = _changes(requests, held)
    edits, deletes = _edits(changes), _deletes(changes)
    return WriteAccount(
        attempted=edits.attempted + deletes.attempted,
        acknowledged=edits.acknowledged + deletes.acknowledged,
        held=edits.held + deletes.held,
        lost=np.concatenate([edits.lost, deletes.lost]),
        recovered=np.concatenate([edits.recovered, deletes.recovered]),
        unexpected=np.concatenate([edits.unexpected, deletes.unexpected]),
        duplicated=edits.duplicated,
    )


@dataclass(frozen=True)
class _Changes:
    """Requests that change links, and columns with a value for each link.

    `edit_link` and `edit_version` are a row each for the edits acknowledged with a version.
    `version` is the highest that edits have made of what is held, 0 where nothing is.
    """

    rank: Ints
    edit_link: Ints
    edit_version: Ints
    edits_told: Ints
    edits_tried: Ints
    deletes_told: Ints
    deletes_tried: Ints
    version: Ints
    there: Bools
    deleted: Bools


def _changes(requests: Requests, held: Held) -> _Changes:
    ranks, link = np.unique(np.concatenate([held.rank, requests.rank]), return_inverse=True)
    of_held, of_row = np.split(link, [len(held.rank)])

    def count(mask: Bools) -> Ints:
        return np.bincount(of_row[mask], minlength=len(ranks))

    told = acknowledged(requests, "edit")
    named = told & (requests.version > 0)
    version = np.zeros(len(ranks), dtype=np.int64)
    np.maximum.at(version, of_held, held.version - held.deleted)
    rows = np.bincount(of_held, minlength=len(ranks))
    live = np.bincount(of_held[~held.deleted], minlength=len(ranks))
    return _Changes(
        rank=ranks,
        edit_link=of_row[named],
        edit_version=requests.version[named],
        edits_told=count(told),
        edits_tried=count(may_have_happened(requests, "edit")),
        deletes_told=count(acknowledged(requests, "delete")),
        deletes_tried=count(may_have_happened(requests, "delete")),
        version=version,
        there=rows > 0,
        deleted=(rows > 0) & (live == 0),
    )


def _edits(changes: _Changes) -> WriteAccount:
    link, version = changes.edit_link, changes.edit_version
    removed = ~changes.there & (changes.deletes_tried > 0)
    lost = (version > changes.version[link]) & ~removed[link]
    _, first = np.unique(pairs(link, version), return_index=True)
    kept = first[version[first] <= changes.version[link[first]]]
    links = len(changes.rank)
    named, explained = (np.bincount(rows, minlength=links) for rows in (link, link[kept]))
    held = np.maximum(changes.version - 1, 0)
    untold = np.maximum(held - explained, 0)
    unknown = changes.edits_tried - named
    return WriteAccount(
        attempted=int(changes.edits_tried.sum()),
        acknowledged=int(changes.edits_told.sum()),
        held=int(held.sum()),
        lost=changes.rank[link[lost]],
        recovered=np.repeat(changes.rank, np.minimum(untold, unknown)),
        unexpected=np.repeat(changes.rank, np.maximum(untold - unknown, 0)),
        duplicated=np.delete(changes.rank[link], first),
    )


def _deletes(changes: _Changes) -> WriteAccount:
    told, tried = changes.deletes_told > 0, changes.deletes_tried > 0
    return WriteAccount(
        attempted=int(changes.deletes_tried.sum()),
        acknowledged=int(changes.deletes_told.sum()),
        held=int(changes.deleted.sum()),
        lost=changes.rank[told & changes.there & ~changes.deleted],
        recovered=changes.rank[changes.deleted & tried & ~told],
        unexpected=changes.rank[changes.deleted & ~tried],
        duplicated=changes.rank[:0],
    )
