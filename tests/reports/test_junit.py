"""The JUnit XML: every claim and check is a case, and INVALID never looks like a pass."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from reports.junit import junit
from tests.support.results import result_with


def suite_of(result: dict[str, object]) -> Xml.Element:
    suite = Xml.fromstring(junit(result)).find("testsuite")
    assert suite is not None
    return suite


def test_there_is_a_case_for_every_claim_and_every_check() -> None:
    result = result_with()
    suite = suite_of(result)

    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == [finding["text"] for finding in [*result["claims"], *result["checks"]]]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        str(len(names)), "0", "0",
    )  # fmt: skip


def test_every_case_tells_what_was_observed() -> None:
    outs = [case.findtext("system-out") for case in suite_of(result_with()).iter("testcase")]

    assert all(outs)


def test_fail_is_a_failure() -> None:
    suite = suite_of(result_with("click lost"))

    (failure,) = suite.iter("failure")
    assert suite.get("failures") == "1"
    assert "direct: clicks lost 1" in str(failure.get("message"))


def test_invalid_is_an_error_and_never_a_pass() -> None:
    suite = suite_of(result_with("one unsent"))

    (error,) = suite.iter("error")
    assert suite.get("errors") == "1"
    assert error.get("type") == "INVALID"
    assert "the machine was too busy" in str(error.get("message"))
    assert "run it again" in str(error.text)


def test_a_claim_that_holds_in_an_invalid_run_is_skipped_beside_the_error() -> None:
    result = result_with("one unsent")
    suite = suite_of(result)

    skipped = [
        case.get("name") for case in suite.iter("testcase") if case.find("skipped") is not None
    ]
    assert skipped == [claim["text"] for claim in result["claims"]]
    assert suite.get("skipped") == str(len(skipped))
    assert [*suite_of(result_with("click lost")).iter("skipped")] == []


def test_a_claim_that_was_not_asked_is_skipped_and_counted() -> None:
    result = result_with() | {"not_asked": ["swr: waited ≤ 0 redirects"]}
    suite = suite_of(result)

    (skipped,) = (case for case in suite.iter("testcase") if case.find("skipped") is not None)
    assert skipped.get("name") == "swr: waited ≤ 0 redirects"
    assert "an arm was left out" in str(skipped.find("skipped").get("message"))  # type: ignore
    assert suite.get("skipped") == "1"
    assert int(str(suite.get("tests"))) == len(list(suite.iter("testcase")))


def test_a_run_that_stopped_says_why_on_the_suite() -> None:
    assert "MemoryError" in str(suite_of(result_with("part dies")).findtext("system-err"))


def test_hostile_text_stays_well_formed_and_readable() -> None:
    result = result_with("part dies")
    hostile = 'a\x00\x1b[31m<b>&"]]>\ud800\ufffe\x0bz'
    result |= {"trouble": hostile, "experiment": hostile}
    result["claims"][0] |= {"text": hostile, "observed": hostile}

    suite = suite_of(result)

    assert suite.findtext("system-err") == 'a<b>&"]]>z'
    assert next(suite.iter("testcase")).get("name") == 'a<b>&"]]>z'
