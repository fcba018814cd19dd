"""Roles of the servers: which one is the primary, and which its replica, now and last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from chaos.model.stack import PartName, Role, ServerName, StackError
from chaos.runtimes.topology import PARTS, ROLES, SERVERS


class ServerRoles:
    """The roles, and who had each last. Replaced as a whole, so any thread may read them."""

    def __init__(self) -> None:
        self.now: Mapping[Role, ServerName] = ROLES
        self.last: Mapping[Role, ServerName] = ROLES

    def put(self, roles: Mapping[Role, ServerName]) -> None:
        """Have the servers these roles, and no others."""
        self.last = {**self.last, **roles}
        self.now = dict(roles)

    def likely_primary(self, standby: ServerName | None) -> ServerName:
        """The last primary while none answers, or the other server if that one is a standby."""
        last = self.last["primary"]
        return next(server for server in (last, *SERVERS) if server != standby)

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
        for part in PARTS:
            if part == target:
                return part
        raise StackError(f"there is no part {target}: {', '.join(PARTS)}")


def told_by(timelines: Mapping[ServerName, int]) -> Mapping[Role, ServerName]:
    """The roles of servers that write these timelines, or none as a standby.

    Of several that write the one with the highest leads; another one is a primary of the past.
    """
    roles: dict[Role, ServerName] = {}
    writing = {server: number for server, number in timelines.items() if number}
    if writing:
        roles["primary"] = max(writing, key=lambda server: writing[server])
    standbys = [server for server, number in timelines.items() if not number]
    if standbys:
        roles["replica"] = standbys[0]
    return roles
