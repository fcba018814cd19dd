"""A gate's outcome as JUnit XML: one case for each metric and each counter.

FAIL is a `failure`, a void run an `error`, and what is not decided is `skipped`.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from reports.formatting import Json, clean
from reports.gate_table import change_of
from reports.junit import DECLARATION

TAGS = {"FAIL": "failure", "VOID": "error", "INCONCLUSIVE": "skipped", "not exact": "skipped"}


def gate_junit(document: Json) -> str:
    """An XML document of one suite."""
    cases = [*_cases(document)]
    verdicts = [verdict for _, _, verdict, _ in cases]
    suite = Xml.Element("testsuite", {
        "name": clean(f"{document['service']}.perf"),
        "tests": str(len(cases)),
        "failures": str(verdicts.count("FAIL")),
        "errors": str(verdicts.count("VOID")),
        "skipped": str(sum(TAGS.get(verdict) == "skipped" for verdict in verdicts)),
        "time": f"{document['duration_s']:.1f}",
        "timestamp": document["began"],
    })  # fmt: skip
    for kind, name, verdict, observed in cases:
        classname = clean(f"{document['service']}.{kind}")
        case = Xml.SubElement(
            suite, "testcase", {"classname": classname, "name": clean(name), "time": "0"}
        )
        if tag := TAGS.get(verdict):
            Xml.SubElement(case, tag, {"message": f"{verdict}: {observed}"})
        Xml.SubElement(case, "system-out").text = observed
    suites = Xml.Element("testsuites", {"name": "linkstorm"})
    suites.append(suite)
    Xml.indent(suites)
    return f"{DECLARATION}\n{Xml.tostring(suites, encoding='unicode')}\n"


def _cases(document: Json) -> list[tuple[str, str, str, str]]:
    """Kind, name, verdict and what was seen."""
    void, wrong = ", ".join(document["void_by"]), document["wrong"]
    seen = f"wrong: {wrong['head']} of head, {wrong['base']} and {wrong['again']} of base"
    answered = "FAIL" if wrong["decides"] else "PASS"
    return [
        ("run", "base is like itself", "VOID" if void else "PASS", void or "no metric differs"),
        ("run", "answers are as expected", answered, seen),
        *(
            ("metrics", m["name"], "PASS" if void else m["verdict"], change_of(m))
            for m in document["metrics"]
        ),
        *(
            ("counters", f"{c['counter']} for each {c['request']}", c["verdict"], _counts(c))
            for c in document["counters"]
        ),
    ]


def _counts(counter: Json) -> str:
    return f"{counter['base']:.2f} → {counter['head']:.2f}"
