"""The result as JUnit XML, for tools that show tests: one case for each claim and each check.

FAIL is a `failure`. INVALID is an `error`, JUnit's term for a test that could not run: `skipped`
would leave a pipeline green although nothing was proven. A claim that holds in an INVALID run is
`skipped`, beside the error that makes the run INVALID: it is unproven, and no pass. So is a claim
that was not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

from reports.formatting import Json, clean, is_unproven
from reports.reasons import MEANING, NOT_ASKED, reason

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
KINDS = {"FAIL": "failure", "INVALID": "error"}


def junit(result: Mapping[str, Any]) -> str:
    """An XML document; the suite has the run's duration in seconds, its cases have none."""
    suite = Xml.Element("testsuite", _summary(result))
    _properties(suite, result)
    for kind in ("claims", "checks"):
        for finding in result[kind]:
            _case(suite, kind, finding, result)
    for text in result["not_asked"]:
        _skipped(_named(suite, "claims", text, result), NOT_ASKED)
    if result["trouble"]:
        Xml.SubElement(suite, "system-err").text = clean(result["trouble"])
    suites = Xml.Element("testsuites", {"name": "linkstorm"})
    suites.append(suite)
    Xml.indent(suites)
    return f"{DECLARATION}\n{Xml.tostring(suites, encoding='unicode')}\n"


def _summary(result: Json) -> dict[str, str]:
    verdicts = [finding["verdict"] for finding in [*result["claims"], *result["checks"]]]
    return {
        "name": clean(result["experiment"]),
        "tests": str(len(verdicts) + len(result["not_asked"])),
        "failures": str(verdicts.count("FAIL")),
        "errors": str(verdicts.count("INVALID")),
        "skipped": str(len(_unproven(result)) + len(result["not_asked"])),
        "time": f"{result['duration_s'] or 0:.3f}",
        "timestamp": clean(result["provenance"]["began"]),
    }


def _properties(suite: Xml.Element, result: Json) -> None:
    properties = Xml.SubElement(suite, "properties")
    for name in ("verdict", "question", "runtime", "mode", "seed", "command", "run_dir"):
        Xml.SubElement(properties, "property", {"name": name, "value": clean(result[name])})


def _case(suite: Xml.Element, kind: str, finding: Json, result: Json) -> None:
    name, observed = clean(finding["text"]), clean(finding["observed"])
    case = _named(suite, kind, name, result)
    if tag := KINDS.get(finding["verdict"]):
        why = reason(finding, result)
        message = f"{why.sentence}; saw: {observed}"
        problem = Xml.SubElement(case, tag, {"type": finding["verdict"], "message": message})
        problem.text = "\n".join([name, message, MEANING[finding["verdict"]], why.advice]).rstrip()
    elif finding in _unproven(result):
        _skipped(case, f"unproven: {MEANING['INVALID']}")
    Xml.SubElement(case, "system-out").text = observed


def _named(suite: Xml.Element, kind: str, name: str, result: Json) -> Xml.Element:
    classname = clean(f"{result['experiment']}.{kind}")
    named = {"classname": classname, "name": clean(name), "time": "0"}
    return Xml.SubElement(suite, "testcase", named)


def _skipped(case: Xml.Element, why: str) -> None:
    Xml.SubElement(case, "skipped", {"message": why})


def _unproven(result: Json) -> list[Json]:
    """Claims that hold in an INVALID run."""
    claims = [claim for claim in result["claims"] if claim["verdict"] == "PASS"]
    return [claim for claim in claims if is_unproven(result, claim["verdict"])]
