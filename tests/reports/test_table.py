"""The printed table, in every width and encoding."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from rich.console import Console

from reports import formatting
from reports.reasons import reasons
from reports.table import NARROWEST, table
from tests.support.results import busy_result, result_with


def shown(result: dict[str, Any], width: int = 120, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    Console(file=file, width=width).print(table(result))
    file.flush()
    return raw.getvalue().decode(encoding)


def row(text: str, arm: str) -> str:
    (line,) = (line for line in text.splitlines() if line.split()[:1] == [arm])
    return line


def test_an_arm_shows_its_figure_with_interval_theory_and_verdict() -> None:
    result = result_with()
    single = row(shown(result), "singleflight")

    assert single.split()[1:6] == ["2.0", "[", "1.5,", "2.5]", "≤"]
    assert single.rstrip().endswith("PASS")


def test_the_naive_arm_is_marked_and_its_failure_is_shown_rather_than_passed() -> None:
    naive = row(shown(result_with()), "direct")

    assert naive.split()[1] == "naive"
    assert naive.rstrip().endswith("shown")


def test_it_tells_where_and_how_long_the_inputs_the_proof_the_load_and_the_clicks() -> None:
    text = " ".join(shown(result_with()).split())

    for said in (
        "fake · quick: 6 to 16 expiries an arm · seed 7",
        "How many requests reach the database?",
        "λ 227/s · δ 121 ms · λδ 27.4",
        "12 of 12 proven, SELECT 1: 0.50 ms before, 120 ms during, 0.50 ms after",
        "all sent · 0 late · dispatch lag p99 0.20 ms",
        "clicks 11,490 acknowledged · 0 lost · 0 duplicated · 0 unexpected PASS",
        "/report.html",
    ):
        assert said in text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("flaw", ["", "part dies", "probe fails", "click lost"])
def test_it_fits_the_terminal(width: int, flaw: str) -> None:
    result = result_with(*([flaw] if flaw else [])) | {"run_dir": "reports/runs/r"}

    assert max(len(line) for line in shown(result, width).splitlines()) <= width


def test_a_narrow_terminal_keeps_figure_theory_and_verdict() -> None:
    single = row(shown(result_with(), 80), "singleflight")

    assert "[ 1.5,  2.5]" in single
    assert "≤ 2" in single
    assert "PASS" in single


@pytest.mark.parametrize("width", [1, 20, 24, 30, 40, 50])
def test_a_terminal_narrower_than_a_row_still_gets_every_figure(width: int) -> None:
    width = max(width, NARROWEST)
    result = result_with() | {"run_dir": "reports/runs/r"}
    lines = shown(result, width).splitlines()
    text = " ".join(" ".join(lines).split())

    assert max(len(line) for line in lines) <= width
    assert "…" not in text
    for arm in result["arms"]:
        estimate = arm["measures"][result["headline"]]
        interval = f"[{estimate['low']:.1f}, {estimate['high']:.1f}]"
        assert f"origin queries per expiry: {estimate['value']:.1f} {interval}" in text
    assert text.count("theory:") == text.count("verdict:") == len(result["arms"])
    assert "p99 after expiry: 122 ms" in text


def test_costs_that_have_no_room_as_a_column_stand_below() -> None:
    result = result_with()
    result["arms"][2]["cost"] = [
        {"measure": "m", "title": "a very long title of a measure", "unit": "units", "extra": 2.0}
    ]

    costs = "lock, compared with direct: +2 units a very long title of a measure"
    assert costs in " ".join(shown(result, 80).split())
    assert row(shown(result, 160), "lock").count("+2 units a very long title") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_the_signs_gets_plain_ones(encoding: str) -> None:
    text = shown(result_with(), 80, encoding)

    assert "<=2" in text
    assert "?" not in text.replace("database?", "")


def test_columns_keep_their_places_where_signs_are_replaced() -> None:
    result = result_with()
    place = row(shown(result), "singleflight").index("PASS")

    assert row(shown(result, encoding="ascii"), "singleflight").index("PASS") == place


def test_there_are_no_colours_in_a_file() -> None:
    assert "\x1b" not in shown(result_with("click lost"))


def test_colours_are_there_on_a_terminal() -> None:
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=True, color_system="standard").print(
        table(result_with())
    )

    assert "\x1b[" in file.getvalue()


def test_a_failed_check_tells_what_was_observed() -> None:
    text = " ".join(shown(result_with("click lost")).split())

    assert (
        "FAIL clicks, links or edits are lost, doubled or unexpected, or were not read back,"
        " or redirects named no click saw" in text
    )
    assert "FAIL means: the run can be trusted, and a claim did not hold." in text


def test_an_invalid_run_ends_with_why_in_plain_words_and_with_what_to_do() -> None:
    result = result_with("one unsent")
    (late,) = (check for check in result["checks"] if check["verdict"] == "INVALID")
    text = " ".join(shown(result).split())

    assert (
        "INVALID the machine was too busy for these numbers to mean anything: requests that left"
        " late decide a claim, or some were not sent"
        f" saw: {late['observed']} INVALID means: the run proves nothing either way."
        " next end other work on this machine, and run it again INVALID in"
    ) in text
    assert late["observed"] == "none late; 12 unsent"


def test_a_claim_that_late_requests_decide_is_said_to_be_so() -> None:
    text = " ".join(shown(result_with("generator late")).split())

    assert "INVALID late requests decide it: swr: p99 after expiry ≤ 100 ms saw: 201.00" in text
    assert "without late reads (PASS)" in text
    assert "FAIL swr" not in text


def test_in_an_invalid_run_no_arm_reads_as_passed_or_failed() -> None:
    text = shown(result_with("fault does nothing"))

    assert row(text, "direct").rstrip().endswith("INVALID")
    for arm in ("singleflight", "lock", "lease", "xfetch", "swr"):
        assert row(text, arm).rstrip().endswith("unproven")


def test_a_generator_without_sockets_is_not_called_a_busy_machine() -> None:
    result = result_with("one unsent")
    result["generator"] |= {"no_socket": 3}
    text = " ".join(shown(result).split())

    assert "INVALID the load generator had no socket, port or file descriptor left" in text
    assert "busy" not in text


def test_each_check_that_does_not_hold_is_said_as_such_and_says_what_to_do() -> None:
    result = result_with()
    for check in result["checks"]:
        check["verdict"] = "INVALID"
    said = reasons(result)

    assert [reason.text for reason in said] == [check["text"] for check in result["checks"]]
    for reason in said:
        assert reason.text not in reason.sentence
        assert reason.advice


def test_a_claim_that_has_no_data_and_one_that_fails_are_told_apart() -> None:
    result = result_with()
    for claim, verdict in zip(result["claims"], ("INVALID", "INVALID", "FAIL"), strict=False):
        claim["verdict"] = verdict
    failed, naive, open_ = (reason.sentence for reason in reasons(result))

    assert failed.startswith("failed: lock: ")
    assert naive.startswith("the failure did not show, so there was nothing to fix; wanted: direct")
    assert open_.startswith("could not be judged: singleflight: ")


def test_only_a_claim_about_naive_arms_alone_says_that_the_failure_did_not_show() -> None:
    result = result_with() | {"checks": []}
    open_ = {"text": "t", "verdict": "INVALID", "observed": "no data"}
    for arms, said in (
        (["direct"], "the failure did not show, so there was nothing to fix; wanted: t"),
        (["lock", "direct"], "could not be judged: t"),
        (["lock"], "could not be judged: t"),
        ([], "could not be judged: t"),
    ):
        (reason,) = reasons(result | {"claims": [open_ | {"arms": arms}]})
        assert reason.sentence == said
    naive = [arm | {"naive": arm["name"] in ("direct", "lock")} for arm in result["arms"]]
    (second,) = reasons(result | {"arms": naive, "claims": [open_ | {"arms": ["lock"]}]})
    assert second.sentence.startswith("the failure did not show")
    (crashed,) = reasons(result | {"arms": [], "claims": [open_ | {"arms": []}]})
    assert crashed.sentence == "could not be judged: t"


@pytest.mark.parametrize(("mode", "advice"), [("quick", "--full"), ("full", "--rounds")])
def test_what_an_interval_leaves_open_is_told_as_such_with_what_may_decide_it(
    mode: str, advice: str
) -> None:
    observed = "inconclusive: 1.05 [0.98, 1.21] spans the limit 1.1; more rounds would decide"
    claim = {"verdict": "INVALID", "text": "t", "observed": observed, "arms": ["direct"]}
    (open_,) = reasons(result_with() | {"mode": mode, "claims": [claim], "checks": []})
    said = "undecided after the last round that is allowed: t"
    assert (open_.sentence, open_.observed) == (said, observed)
    assert advice in open_.advice


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("linkstorm run x --rounds 1 --seed 7", "run it without `--rounds` and `--segment`"),
        ("linkstorm run x --segment=3", "run it without `--rounds` and `--segment`"),
        ("linkstorm run x", "run it again: another version made it, or it was changed since"),
    ],
)
def test_a_shortened_run_is_told_from_one_of_another_version(command: str, advice: str) -> None:
    observed = "less was planned than the experiment's mode asks for"
    text = "the run was the experiment's, from plan to end"
    check = {"verdict": "INVALID", "text": text, "observed": observed, "arms": []}
    result = result_with() | {"command": command, "claims": [], "checks": [check]}
    assert [reason.advice for reason in reasons(result)] == [advice]


def test_a_run_that_stopped_shows_why_with_the_end_of_the_log_and_no_made_up_figures() -> None:
    text = shown(result_with("part dies"))

    assert "stopped early: web-1 died; its log ends:\n  Traceback\n  MemoryError\n" in text
    assert row(text, "lock").split()[1:] == ["–", "1", *["–"] * 7, "INVALID"]


def test_a_run_without_any_arm_is_shown_all_the_same() -> None:
    result = result_with("interrupted") | {"arms": [], "acts": [], "duration_s": None}

    assert "INVALID   report" in shown(result)


def test_what_a_log_holds_cannot_drive_the_terminal() -> None:
    result = result_with() | {"trouble": "died:\n  \x1b[2J\x1b]0;title\x07\x9b31mred\x00 [bold]x"}

    assert "  31mred [bold]x\n" in shown(result)


# --- other failures ----------------------------------------------------------------------------


def line_of(text: str, label: str) -> str:
    """The text after a label below the table, with its further lines."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.split()[:1] == [label])
    further = itertools.takewhile(lambda line: line.startswith(" " * 9), lines[first + 1 :])
    return " ".join(" ".join([lines[first], *further]).split()).removeprefix(f"{label} ")


def test_an_act_goes_by_its_name_and_a_total_needs_neither_interval_nor_theory() -> None:
    text = shown(busy_result())

    assert "fake · quick: 2 segments an arm · seed 7" in text
    assert line_of(text, "act").startswith("redis killed 4 of 4 proven, PING: 3 of 3 answered")
    assert row(text, "careless").split()[:3] == ["careless", "naive", "25"]
    assert row(text, "careful").split()[:2] == ["careful", "0"]
    assert "[" not in row(text, "careful")
    assert "theory" not in text


def test_ledgers_are_told_arm_by_arm_where_they_differ() -> None:
    text = shown(busy_result())

    assert line_of(text, "clicks") == (
        "careless: 632 acknowledged · 25 lost · 0 duplicated · 0 unexpected"
        " careful: 796 acknowledged · 0 lost · 0 duplicated · 0 unexpected"
    )
    assert line_of(text, "links") == "232 acknowledged · 0 lost · 0 duplicated · 0 unexpected"
    assert line_of(text, "edits") == "352 acknowledged · 0 lost · 0 duplicated · 0 unexpected"


def test_links_of_the_lab_alone_are_told_only_if_one_is_wrong() -> None:
    result = result_with()
    labels = [line.split()[:1] for line in shown(result).splitlines()]
    assert ["links"] not in labels
    assert ["edits"] not in labels

    result["arms"][0]["ledgers"]["links"]["lost"] = 1

    text = shown(result)
    assert line_of(text, "links").startswith("direct: 40 acknowledged · 1 lost")


def test_a_total_that_is_off_and_a_read_back_that_failed_are_told() -> None:
    result = result_with()
    for arm in result["arms"]:
        arm["ledgers"]["clicks"]["miscounted"] = 3
    assert "· 0 unexpected · totals off by 18" in shown(result)
    for arm in result["arms"]:
        arm["ledgers"] = {}
    assert line_of(shown(result), "clicks") == "nothing was read back"


def test_claims_that_were_not_asked_are_listed() -> None:
    asked = ["no arm: a", "swr: b"]
    text = line_of(shown(result_with() | {"not_asked": asked}), "claims")

    assert text == "not asked, since an arm was left out: no arm: a; swr: b"


def test_a_censored_figure_is_at_least_so_much_and_its_interval_is_open() -> None:
    result = busy_result()
    for arm, value in zip(result["arms"], (8.2, 0.25), strict=True):
        arm["measures"][result["headline"]] |= {
            "unit": "s", "value": value, "low": value / 2, "high": value * 2, "interval": "mean95",
        }  # fmt: skip
    result["arms"][0]["measures"][result["headline"]]["at_least"] = True
    text = " ".join(shown(result).split())

    assert "careless naive ≥ 8.2 s [ 4.1 s, –]" in text
    assert "careful 0.25 s [0.12 s, 0.50 s]" in text
    assert ">=8.2 s" in shown(result, encoding="ascii")


@pytest.mark.parametrize(
    ("value", "unit", "cell", "said"),
    [
        (0.0, "clicks", "0", "0 clicks"),
        (12345.6, "clicks", "12,346", "12,346 clicks"),
        (0.25, "s", "0.25 s", "0.25 s"),
        (1234.5, "s", "1,234.5 s", "1,234.5 s"),
        (0.0, "s", "0 s", "0 s"),
        (1500.0, "ms", "1.5 s", "1.5 s"),
        (98.76, "%", "98.8 %", "98.8 %"),
        (212.0, "/s", "212/s", "212/s"),
        (1234.0, "queries/s", "1,234/s", "1,234 queries/s"),
        (3.0, "of 3 answered", "3", "3 of 3 answered"),
        (26.72, "", "26.7", "26.7"),
        (None, "s", "–", "–"),
    ],
)
def test_a_unit_stands_where_it_belongs(
    value: float | None, unit: str, cell: str, said: str
) -> None:
    assert formatting.figure(value, unit) == cell
    assert formatting.with_unit(value, unit) == said


def test_settings_are_blamed_only_if_some_were_given() -> None:
    result = result_with() | {"event": {"noun": "outage", "plural": "outages"}}
    few = {"text": "every arm saw at least 6 outages", "verdict": "INVALID", "observed": "direct 2"}
    result["checks"] = [few | {"arms": []}]

    (plain,) = reasons(result | {"command": "linkstorm run herd"})
    (changed,) = reasons(result | {"command": "linkstorm run herd --set CACHE_TTL_S=99"})

    assert plain.sentence == "too few outages in an arm to judge it by"
    assert "--set" not in plain.advice
    assert "run it again without `--set`" in changed.advice
