"""Fuzzing of target validation: every accepted target is harmless for other URL parsers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stack.shortener.http.problems import Problem
from stack.shortener.http.targets import LONGEST, PATTERN, TargetRules
from tests.support.thorough import LONG_S, SCALE, counted, times
from tests.support.url_mutations import SEEDS, Mutations
from tests.support.url_oracle import Unreadable, addresses, is_inward, is_inward_name, readings

OURS = "https://sho.rt"
ANYWHERE, OUTSIDE = TargetRules(public_url=OURS), TargetRules(refuse_private=True, public_url=OURS)
SAFE_TEXT = re.compile(r"[!-\[\]-~]+")  # visible ASCII, but a backslash is a slash to some
CALLS = times(quick=25_000, thorough=5_000_000)
EXAMPLES = times(quick=100, thorough=5_000)
PROCESSES = 2
THOROUGHLY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def accepted(targets: TargetRules, url: str) -> str | None:
    """The target, or `None` if it is refused."""
    try:
        return targets.checked(url)
    except Problem as problem:
        if problem.status == 422 and problem.detail.isascii():
            return None
        raise


def faults(url: str, target: str, refuse_private: bool) -> Iterator[str]:
    """Reasons why the target should have been rejected."""
    targets = OUTSIDE if refuse_private else ANYWHERE
    if SAFE_TEXT.fullmatch(target) is None:
        yield "it is not safe in a header, or clients read it in two ways"
    if len(target) > LONGEST:
        yield "it is too long"
    if unquote_to_bytes(target) != unquote_to_bytes(url):
        yield "it is another address than was given"
    if accepted(targets, target) != target:
        yield "a second check does not leave it as it is"
    try:
        read = readings(target)
    except Unreadable as error:
        yield f"not every parser can read it: {error}"
        return
    if len(read) > 1:
        yield f"parsers disagree on where it leads: {read}"
    for scheme, host, port in read:
        yield from misled(scheme, host.rstrip("."), port, refuse_private)


def misled(scheme: str, host: str, port: int, refuse_private: bool) -> Iterator[str]:
    """Reasons why the host should have been rejected."""
    if scheme not in ("http", "https"):
        yield f"its scheme is {scheme}"
    if host == "sho.rt" and port in (80, 443):  # at another port is another service
        yield "it leads back to us"
    inward = [address for address in addresses(host) if is_inward(address)]
    if refuse_private and (inward or is_inward_name(host)):
        yield f"it leads inside: {inward or host}"


@dataclass
class Outcome:
    """Counts of one part of the fuzzing."""

    calls: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)


def tried(targets: TargetRules, url: str, outcome: Outcome) -> str | None:
    """The target, or `None` if it is rejected; counted either way."""
    outcome.calls += 1
    try:
        target = targets.checked(url)
    except Problem as problem:
        outcome.refused[problem.detail] += 1
        return None
    outcome.accepted += 1
    return target


def fuzzed(calls: int, number: int) -> Outcome:
    """Try `calls` addresses from this seed, with private ones allowed and rejected."""
    mutations, outcome = Mutations(number), Outcome()
    while outcome.calls < calls and len(outcome.wrong) < 20:
        url = mutations.next()
        anywhere, outside = (tried(targets, url, outcome) for targets in (ANYWHERE, OUTSIDE))
        if outside not in (None, anywhere):
            outcome.wrong.append((url, "the stricter rules make another target of it"))
        if anywhere is not None:
            mutations.learn(url)
            found = faults(url, anywhere, refuse_private=outside is not None)
            outcome.wrong += [(url, fault) for fault in found]
    return outcome


@pytest.mark.timeout(LONG_S)
def test_no_mutation_of_a_nasty_address_is_accepted_unless_it_is_harmless() -> None:
    if SCALE:
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            outcomes = list(pool.map(partial(fuzzed, CALLS // PROCESSES), range(PROCESSES)))
    else:
        outcomes = [fuzzed(CALLS, 0)]
    assert [wrong for outcome in outcomes for wrong in outcome.wrong] == []
    calls = sum(outcome.calls for outcome in outcomes)
    taken = sum(outcome.accepted for outcome in outcomes)
    reasons = sum((outcome.refused for outcome in outcomes), Counter[str]())
    counted("mutated addresses given to the check of targets", calls)
    counted("of them accepted, and read again by four other parsers", taken)
    assert calls >= CALLS // PROCESSES * PROCESSES
    assert 0.05 < taken / calls < 0.95, "the mutations are too wild, or too tame"
    assert len(reasons) >= 8, f"they do not come everywhere: {set(reasons)}"


@pytest.mark.parametrize("url", SEEDS)
def test_no_seed_is_accepted_unless_it_is_harmless(url: str) -> None:
    for targets in (ANYWHERE, OUTSIDE):
        target = accepted(targets, url)
        if target is not None:
            assert list(faults(url, target, refuse_private=targets is OUTSIDE)) == []


LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAME = st.builds(lambda labels, top: ".".join([*labels, top]), st.lists(LABEL, max_size=4), LABEL)
HOST = st.one_of(
    NAME,
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
    st.integers(0, 2**32 - 1).map(str),
    st.integers(0, 2**32 - 1).map(hex),
    st.text(max_size=12),
)
PORT = st.one_of(
    st.just(""), st.integers(0, 70_000).map(lambda number: f":{number}"), st.text(max_size=3)
)
REST = st.one_of(st.just(""), st.text(max_size=30).map(lambda text: "/" + text), st.text())
SCHEME = st.sampled_from(["http://", "https://", "HTTP://", "hTTps://", "http:/", "//", "ftp://"])
ADDRESS = st.one_of(
    st.builds("".join, st.tuples(SCHEME, HOST, PORT, REST)),
    st.text(),
    st.from_regex(PATTERN),  # an unbounded search: what comes before and after is anything
)


@pytest.mark.timeout(LONG_S)
@THOROUGHLY
@given(ADDRESS, st.booleans())
@example("http://example.org\n", False)
@example("http://0x7f000001", True)
@example("http://[::ffff:a9fe:a9fe]", True)
def test_no_address_is_accepted_unless_it_is_harmless(url: str, refuse_private: bool) -> None:
    counted("addresses by hypothesis")
    target = accepted(OUTSIDE if refuse_private else ANYWHERE, url)
    if target is not None:
        assert list(faults(url, target, refuse_private)) == []


GOOD_HOST = st.one_of(
    st.builds(lambda name, top: f"{name}.{top}", NAME, st.sampled_from(["org", "Example", "x"])),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
GOOD_PORT = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda number: f":{number}"))
SAFE = st.characters(
    exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters='\\<>"\u2028\u2029'
)
GOOD_REST = st.builds(
    "".join, st.tuples(st.sampled_from(["/", "?", "#"]), st.text(SAFE, max_size=60))
)
GOOD = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["http://", "https://", "HTTPS://"]),
        GOOD_HOST,
        GOOD_PORT,
        st.one_of(st.just(""), GOOD_REST),
    ),
)


@pytest.mark.timeout(LONG_S)
@THOROUGHLY
@given(GOOD)
def test_every_ordinary_address_of_the_web_is_accepted(url: str) -> None:
    counted("ordinary addresses by hypothesis")
    target = accepted(ANYWHERE, url)
    assert target is not None
    assert list(faults(url, target, refuse_private=False)) == []


@pytest.mark.timeout(LONG_S)
@THOROUGHLY
@given(st.ip_addresses(), st.sampled_from(["", ":80", ":65535"]), st.sampled_from(["", "/", "?#"]))
def test_private_addresses_are_refused_where_the_setting_says_so_and_public_ones_are_not(
    address: object, port: str, rest: str
) -> None:
    counted("IP addresses by hypothesis")
    host = f"[{address}]" if ":" in str(address) else str(address)
    url = f"http://{host}{port}{rest}"
    assert accepted(ANYWHERE, url) == url
    (found,) = {each for each in addresses(host) if str(each) == str(address)}
    if is_inward(found):
        assert accepted(OUTSIDE, url) is None
    elif found.is_global and not found.is_reserved:
        assert accepted(OUTSIDE, url) == url


def test_a_thousand_hosts_that_are_ours_are_never_a_target() -> None:
    spellings = ["sho.rt", "SHO.RT", "sho.rt.", "Sho.Rt."]
    rests = ["", "/", "/code", "?q", "#f", "/../x", "/%2e%2e"]
    ports = {"http://": ["", ":80", ":443"], "https://": ["", ":443", ":80"]}
    for scheme, with_port in ports.items():
        for url in (f"{scheme}{s}{p}{r}" for s in spellings for p in with_port for r in rests):
            assert accepted(ANYWHERE, url) is None, url
