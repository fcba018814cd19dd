"""Roles of the servers: which one is the primary, and which its replica, now and last."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import get_args

from chaos.model.stack import FOLLOWERS, PartName, Role, ServerName, StackError
from chaos.runtimes.topology import PARTS_AND_THIRD, ROLES


class ServerRoles:
    """The roles, and who had each last. Replaced as a whole, so any thread may read them."""

    def __init__(self) -> None:
        self.now: Mapping[Role, ServerName] = ROLES
        self.last: Mapping[Role, ServerName] = ROLES

    def put(self, roles: Mapping[Role, ServerName]) -> None:
        """Have the servers these roles, and no others."""
        self.last = {**self.last, **roles}
        self.now = dict(roles)

    def drop(self, server: ServerName) -> None:
        """Have a server no role, and the others theirs."""
        self.put({role: own for role, own in self.now.items() if own != server})

    def likely_primary(
        self, servers: Iterable[ServerName], standbys: Collection[ServerName]
    ) -> ServerName:
        """The last primary while none answers, or another server if that one is a standby."""
        last = self.last["primary"]
        return next((server for server in (last, *servers) if server not in standbys), last)

    def lost_by(self, server: str) -> bool:
        """True if a server has no role while another one is the primary."""
        return "primary" in self.now and server not in self.now.values()

    def part_of(self, target: str) -> PartName:
        """The part of that name, or the server that has that role now.

        Raises:
            StackError: there is no such part, or no server has the role.
        """
        for role in get_args(Role):
            if role == target:
                if role not in self.now:
                    raise StackError(f"no server is the {role} now")
                return self.now[role]
        for part in PARTS_AND_THIRD:
            if part == target:
                return part
        raise StackError(f"there is no part {target}: {', '.join(PARTS_AND_THIRD)}")


def told_by(
    timelines: Mapping[ServerName, int], last: Mapping[Role, ServerName]
) -> Mapping[Role, ServerName]:
    """The roles of servers that write these timelines, or none as a standby.

    Of several that write the one with the highest leads; another one is a primary of the past.
    """
    roles: dict[Role, ServerName] = {}
    writing = {server: number for server, number in timelines.items() if number}
    if writing:
        roles["primary"] = max(writing, key=lambda server: writing[server])
    standbys = [server for server, number in timelines.items() if not number]
    return {**roles, **following(standbys, last)}


def following(
    followers: Iterable[ServerName], last: Mapping[Role, ServerName]
) -> Mapping[Role, ServerName]:
    """The roles of servers that follow: the last replica stays it, and else the first is it."""
    own = sorted(followers, key=lambda server: server != last.get("replica"))
    return dict(zip(FOLLOWERS, own, strict=False))
