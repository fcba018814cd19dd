"""`python -m dashboards check`: it names empty panels and rejected queries."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from typer.testing import CliRunner

from dashboards.__main__ import app
from dashboards.catalogue import DASHBOARDS
from dashboards.panel import Query
from dashboards.panel_data import with_variables

Reply = Callable[[str], list[str]]  # the values of the one series of an expression


@contextmanager
def prometheus(reply: Reply) -> Iterator[str]:
    """Something that answers range queries as Prometheus does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlparse(self.path).query)
            try:
                values = [[float(asked["end"][0]), value] for value in reply(asked["query"][0])]
                found: dict[str, Any] = {"status": "success", "data": {"result": []}}
                if values:
                    found["data"]["result"] = [{"metric": {}, "values": values}]
            except ValueError as error:
                found = {"status": "error", "error": str(error)}
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(reply: Reply) -> tuple[int, str]:
    with prometheus(reply) as url:
        result = CliRunner().invoke(app, ["check", "--prometheus", url, "--since", "60"])
    return result.exit_code, result.output


def test_a_prometheus_with_all_figures_satisfies_every_panel() -> None:
    code, said = check(lambda _: ["1"])
    queries = sum(len(panel.queries) for board in DASHBOARDS for panel in board.panels)
    assert (code, said.strip()) == (0, f"{queries} queries, 0 without data")


@pytest.mark.parametrize("nothing", [[], ["NaN"]], ids=["no series", "only NaN"])
def test_a_panel_without_data_is_named_with_its_expression(nothing: list[str]) -> None:
    code, said = check(lambda expr: nothing if "evicted" in expr else ["0"])
    assert code == 1
    first, *_ = said.splitlines()
    assert first == (
        "linkstorm: Data tier / Keys expired and evicted: no data: "
        "rate(redis_evicted_keys_total[$__rate_interval])"
    )


def test_what_has_data_only_at_times_may_be_empty_and_is_said() -> None:
    code, said = check(lambda expr: [] if "linkstorm_fault_active" in expr else ["0"])
    assert code == 0
    assert "only while a fault is in force" in said


def test_an_expression_that_prometheus_refuses_is_named() -> None:
    def reply(expr: str) -> list[str]:
        if "evicted" in expr:
            raise ValueError("parse error")
        return ["0"]

    code, said = check(reply)
    assert code == 3
    assert "rate(redis_evicted_keys_total[20s]): parse error" in said


def test_no_prometheus_is_said_with_its_address() -> None:
    result = CliRunner().invoke(app, ["check", "--prometheus", "http://127.0.0.1:1"])
    assert result.exit_code == 3
    assert "does not answer at http://127.0.0.1:1/" in result.output


def test_variables_are_filled_in_as_grafana_does() -> None:
    expr = 'sum(rate(a{part=~"$part"}[$__rate_interval])) / sum(increase(a[$__range]))'
    assert with_variables(Query(expr, "a"), 90) == (
        'sum(rate(a{part=~".*"}[4s])) / sum(increase(a[90s]))'
    )
    assert with_variables(Query("rate(b[$__rate_interval])", "b", every_s=5), 90) == "rate(b[20s])"
