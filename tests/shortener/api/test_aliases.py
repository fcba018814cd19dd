"""Aliases: their form, and the reserved words in every spelling."""

from __future__ import annotations

import pytest

from stack.shortener.api import aliases
from stack.shortener.http.health import PATHS


@pytest.mark.parametrize("path", sorted(PATHS))
def test_the_paths_that_we_answer_ourselves_are_reserved(path: str) -> None:
    assert aliases.is_reserved(path[1:])


@pytest.mark.parametrize(
    "alias",
    [
        "api",
        "API",
        "docs",
        "d0cs",
        "clocs",
        "_docs_",
        "Hea1thz",
        "healthZ",
        "rnetrics",
        "MetrIcs",
        "adrnin",
        "adm1n",
        "ADMlN",
        "l0gin",
        "log-in",
        "IOGIN",
        "s1gn_up",
        "5upport",
        "p4ssword",
        "passvvord",
    ],
)
def test_what_looks_like_a_reserved_word_is_reserved(alias: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        aliases.checked(alias)


@pytest.mark.parametrize(
    "alias", ["apis", "docs-2", "administer", "my-login-page", "A_z-09", "logins"]
)
def test_what_only_has_one_in_it_is_not(alias: str) -> None:
    assert aliases.checked(alias) == alias


@pytest.mark.parametrize(
    "alias", ["", "ab", "a" * 65, "a b", "a/b", "a.b", "ünder", "abc\n", None, 5]
)
def test_other_forms_are_refused(alias: object) -> None:
    with pytest.raises(ValueError, match="must be 3 to 64"):
        aliases.checked(alias)
