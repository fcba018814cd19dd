"""Failover by Patroni, in place of the lab's own controller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaos.acts import witnesses
from chaos.acts.failover import (
    LED_ELSEWHERE,
    ROLES_MOVE,
    TO_PRIMARY,
    ByPrograms,
    end_failover,
    standbys_of,
)
from chaos.failover.patroni import Lease, Member, PatroniProcesses
from chaos.model.evidence import Segment
from chaos.model.stack import ServerName, Stack, Undo
from chaos.model.testimony import Span, Witnesses


@dataclass(frozen=True)
class Patroni(ByPrograms):
    """Patroni promotes a standby once the primary's lease in etcd, of `ttl_s`, is over.

    An agent beside each server, which dies with it. No link is led: clients have to find the new
    primary.
    """

    ttl_s: int = 20

    needs = "patroni"
    hits: ClassVar[frozenset[str]] = ROLES_MOVE
    brings: ClassVar[frozenset[tuple[str, str]]] = LED_ELSEWHERE

    @property
    def name(self) -> str:
        """`Patroni with a lease of 20 s`."""
        return f"Patroni with a lease of {self.ttl_s} s"

    def inject(self, stack: Stack) -> Undo:
        """Start etcd, then the primary's agent, then the standbys'."""

        def member(server: ServerName) -> Member:
            url, address = stack.endpoints.servers[server], stack.upstream(server)
            return Member(server, url, address, stack.host(server))

        self.programs.running.append(
            PatroniProcesses(
                primary=member(stack.roles["primary"]),
                standbys={server: member(server) for server in standbys_of(stack)},
                lease=Lease(self.ttl_s),
                workdir=stack.workdir("patroni"),
                on_event=self.programs.on_promotion(stack),
            )
        )
        return lambda: end_failover(self.programs, stack)

    def testimony(
        self, segment: Segment, _in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """It promoted when the lease of a dead primary was over, no write names the new timeline
        before, and no link was led."""
        return [
            *witnesses.promoted(self.name, segment),
            *witnesses.lease_over(self.name, self.ttl_s, Lease.loop_wait_s, segment),
            *witnesses.left_alone(self.name, TO_PRIMARY, segment),
        ]
