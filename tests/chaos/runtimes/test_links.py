"""Links as they are led, severed and read."""

from __future__ import annotations

import pytest

from chaos.model.stack import LinkState, PartName
from chaos.runtimes.links import NOWHERE, Links
from chaos.runtimes.topology import LINKS, ROLES, led_by
from chaos.runtimes.toxics import Toxics

AT: dict[PartName, str] = {"postgres-1": "a:1", "postgres-2": "b:1", "redis": "c:1"}


class RecordedToxics(Toxics):
    """Links in memory, and what was put, in order."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.led = {str(link): str(to) for link, to in led_by(ROLES).items()}
        self.said: list[tuple[str, str]] = []
        self.closed_at: list[set[str]] = []  # at each reading; none at further ones

    def links(self) -> dict[str, LinkState]:
        closed = self.closed_at.pop(0) if self.closed_at else set[str]()
        return {link: LinkState(link not in closed, [], to) for link, to in self.led.items()}

    def put(self, link: str, upstream: str, *, is_open: bool) -> None:
        names: dict[str, str] = {at: part for part, at in AT.items()}
        self.led[link] = names.get(upstream, upstream)
        self.said.append((link, self.led[link]))


def test_replication_is_severed_first_and_all_links_lead_back_at_the_end() -> None:
    toxics = RecordedToxics()
    before = dict(toxics.led)
    with Links(toxics, AT).severed("postgres-1"):
        severed = [*toxics.said]
        assert set(toxics.led.values()) == {"postgres-2", "redis", NOWHERE}
    assert severed[0] == ("replication", NOWHERE)
    assert {link for link, _ in severed} == {"primary", "worker-primary", "replication"}
    assert toxics.led == before
    assert [*toxics.led] == [*LINKS]


@pytest.mark.parametrize(
    ("readings", "is_open"), [([{"primary"}, set()], True), ([{"primary"}, {"primary"}], False)]
)
def test_a_link_that_is_just_led_elsewhere_is_read_again_and_one_that_is_closed_stays_closed(
    readings: list[set[str]], is_open: bool
) -> None:
    toxics = RecordedToxics()
    toxics.closed_at = readings
    assert Links(toxics, AT).state()["primary"].open == is_open
    assert not toxics.closed_at
