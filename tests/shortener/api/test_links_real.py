"""Operations on links, concurrent and sequential, on the real stack."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import requests

from chaos.model.stack import Stack
from stack.shortener.api import api_key_commands
from stack.shortener.settings import KeySettings, read
from tests.support.patience import PATIENT
from tests.support.shortener_process import ROOT, ShortenerProcess, eventually, process

pytestmark = pytest.mark.real

GOOD = "https://example.org/page"
CALLERS = 64
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
T = TypeVar("T")


@pytest.fixture
def api(stack: Stack) -> str:
    return f"{stack.endpoints.url}/api/links"


@pytest.fixture
def webs(stack: Stack) -> list[str]:
    """The API of each web process: guarantees must hold across processes."""
    return [f"{url}/api/links" for url in stack.endpoints.web.values()]


def create(api: str, key: str | None = None, **members: Any) -> requests.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return requests.post(api, json={"url": GOOD, **members}, headers=headers, timeout=10)


def create_all(api: str, *links: dict[str, Any], key: str | None = None) -> requests.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return requests.post(f"{api}/bulk", json={"links": links}, headers=headers, timeout=10)


def change(api: str, code: str, tag: str | None = None, **members: Any) -> requests.Response:
    headers = {"If-Match": tag} if tag else {}
    return requests.patch(f"{api}/{code}", json=members, headers=headers, timeout=10)


def follow(stack: Stack, code: str, **headers: str) -> requests.Response:
    url = f"{stack.endpoints.url}/{code}"
    return requests.get(url, headers=headers, allow_redirects=False, timeout=10)


def at_once(call: Callable[[int], T], callers: int = CALLERS) -> list[T]:
    """The result of each caller; all begin at the same moment."""
    ready = threading.Barrier(callers)

    def begin(number: int) -> T:
        ready.wait(timeout=30)
        return call(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(begin, range(callers)))


def pointers(answer: requests.Response) -> list[str]:
    return [each["pointer"] for each in answer.json()["errors"]]


# --- claims ----------------------------------------------------------------------------------


def test_one_of_64_gets_an_alias_and_its_target_is_what_stands(
    stack: Stack, webs: list[str]
) -> None:
    def claim(alias: str, each: int) -> requests.Response:
        return create(webs[each % 2], alias=alias, url=f"{GOOD}/{each}")

    for _ in range(3):
        alias = secrets.token_hex(8)
        answers = at_once(partial(claim, alias))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: CALLERS - 1}
        [winner] = [answer.json() for answer in answers if answer.status_code == 201]
        assert follow(stack, alias).headers["Location"] == winner["url"]


def test_one_of_64_bulk_requests_gets_the_aliases_and_the_others_leave_nothing(
    webs: list[str],
) -> None:
    aliases = [secrets.token_hex(8) for _ in range(3)]

    def claim(each: int) -> requests.Response:
        order = aliases if each % 3 else aliases[::-1]
        own = {"url": GOOD, "alias": f"{aliases[0]}-{each}"}
        return create_all(
            webs[each % 2], own, *({"url": f"{GOOD}/{each}", "alias": alias} for alias in order)
        )

    answers = at_once(claim)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: CALLERS - 1}
    winner = next(each for each, answer in enumerate(answers) if answer.status_code == 201)
    for each in range(CALLERS):
        found = requests.get(f"{webs[0]}/{aliases[0]}-{each}", timeout=10)
        assert found.status_code == (200 if each == winner else 404)


def test_64_bulk_requests_with_one_key_make_the_links_once(webs: list[str]) -> None:
    key, alias = secrets.token_hex(16), secrets.token_hex(8)
    links: list[dict[str, Any]] = [
        {"url": GOOD, "alias": alias},
        {"url": GOOD, "max_clicks": 3},
    ]
    answers = at_once(lambda each: create_all(webs[each % 2], *links, key=key))
    assert {answer.status_code for answer in answers} == {201}
    made = {tuple(link["code"] for link in answer.json()["links"]) for answer in answers}
    assert len(made) == 1


def test_a_key_tells_requests_apart_by_what_they_mean(api: str) -> None:
    key = secrets.token_hex(16)
    first = create(api, key=key, max_clicks=5)
    assert create(api, key=key, max_clicks=5.0).text == first.text
    assert create(api, key=key, max_clicks=6).status_code == 422
    assert create_all(api, {"url": GOOD, "max_clicks": 5}, key=key).status_code == 422


def test_a_repeated_answer_is_the_first_one_whatever_became_of_the_link(api: str) -> None:
    key = secrets.token_hex(16)
    first = create(api, key=key, expires_at="2099-01-01T00:00:00+02:00", max_clicks=5)
    change(api, first.json()["code"], url=f"{GOOD}/other")
    again = create(api, key=key, expires_at="2098-12-31T22:00:00Z", max_clicks=5)
    assert (again.status_code, again.text) == (201, first.text)
    assert again.headers["ETag"] == '"1"'


# --- bulk ------------------------------------------------------------------------------------


def test_a_link_is_made_now_however_long_its_connection_has_waited(
    stack: Stack, webs: list[str]
) -> None:
    stack.configure(PATIENT)  # so that there are connections that nobody has used
    asked_at = datetime.now(UTC)
    with ThreadPoolExecutor(16) as clients:
        made = [answer.json() for answer in clients.map(create, webs * 20)]
    assert min(datetime.fromisoformat(link["created_at"]) for link in made) >= asked_at
    with psycopg.connect(stack.endpoints.replica) as database:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shortener'"
        in_all = database.execute(idle).fetchone()
        within = database.execute(f"{idle} AND xact_start < now()").fetchone()
    assert in_all != within == (0,)


def test_many_links_come_back_in_their_order(stack: Stack, api: str) -> None:
    aliases = [None if each % 3 else secrets.token_hex(8) for each in range(100)]
    answer = create_all(
        api, *({"url": f"{GOOD}/{n}", "alias": alias} for n, alias in enumerate(aliases))
    )
    assert answer.status_code == 201
    links = answer.json()["links"]
    assert [link["url"] for link in links] == [f"{GOOD}/{n}" for n in range(100)]
    assert all(alias in (None, link["code"]) for alias, link in zip(aliases, links, strict=True))
    assert follow(stack, links[99]["code"]).headers["Location"] == f"{GOOD}/99"


def test_one_wrong_link_stops_all_and_every_wrong_one_is_named(api: str) -> None:
    mine, taken = secrets.token_hex(8), secrets.token_hex(8)
    create(api, alias=taken)
    wrong = create_all(
        api, {"url": GOOD, "alias": mine}, {"url": "ftp://x"}, {}, {"url": GOOD, "alias": mine}
    )
    assert (wrong.status_code, pointers(wrong)) == (422, ["#/links/1/url", "#/links/2/url"])
    twice = create_all(api, {"url": GOOD, "alias": mine}, {"url": GOOD, "alias": mine})
    assert (twice.status_code, pointers(twice)) == (422, ["#/links/1/alias"])
    late = create_all(api, {"url": GOOD, "alias": mine}, {"url": GOOD, "alias": taken})
    assert (late.status_code, pointers(late)) == (409, ["#/links/1/alias"])
    assert requests.get(f"{api}/{mine}", timeout=10).status_code == 404
    assert create_all(api, *[{"url": GOOD}] * 101).status_code == 422
    assert create_all(api).status_code == 422


# --- versions --------------------------------------------------------------------------------


def test_a_change_of_what_has_changed_meanwhile_is_refused(api: str) -> None:
    code = create(api).json()["code"]
    first = requests.get(f"{api}/{code}", timeout=10).headers["ETag"]
    changed = change(api, code, first, url=f"{GOOD}/2")
    assert (first, changed.status_code, changed.headers["ETag"]) == ('"1"', 200, '"2"')
    stale = change(api, code, first, url=f"{GOOD}/3")
    assert (stale.status_code, stale.headers["ETag"]) == (412, '"2"')
    assert "the link is at version 2, which If-Match does not name" in stale.text
    assert change(api, code, f"W/{changed.headers['ETag']}", disabled=True).status_code == 412
    assert change(api, code, '"1", "2"', url=f"{GOOD}/4").json()["version"] == 3
    assert change(api, code, "*", url=f"{GOOD}/5").json()["version"] == 4
    assert change(api, code, "4", url=f"{GOOD}/6").status_code == 400
    assert change(api, "nobody", first, url=GOOD).status_code == 404

    def delete(tag: str) -> int:
        answer = requests.delete(f"{api}/{code}", headers={"If-Match": tag}, timeout=10)
        return answer.status_code

    assert [delete('"3"'), delete('"4"'), delete('"4"')] == [412, 204, 404]


@pytest.mark.parametrize(
    "tag", ['W/"1"', 'W/"1", W/"2"', '"one"', '""', '"0001x"', f'"{9 * 10**18}"']
)
def test_a_tag_that_no_link_can_be_at_is_told_from_a_change_meanwhile(api: str, tag: str) -> None:
    code = create(api).json()["code"]
    deleted = requests.delete(f"{api}/{code}", headers={"If-Match": tag}, timeout=10)
    for answer in (change(api, code, tag, disabled=True), deleted):
        assert (answer.status_code, answer.headers["ETag"]) == (412, '"1"')
        told = answer.json()["detail"]
        assert "a number in quotes, without W/" in told
        assert 'as "1", which this link is at' in told


def test_of_64_who_change_the_same_version_one_succeeds(webs: list[str]) -> None:
    code = create(webs[0]).json()["code"]
    answers = at_once(lambda each: change(webs[each % 2], code, '"1"', url=f"{GOOD}/{each}"))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CALLERS - 1}


def test_a_limit_can_be_set_raised_and_taken_away(stack: Stack, api: str) -> None:
    code = create(api, max_clicks=1).json()["code"]
    assert [follow(stack, code).status_code for _ in range(2)] == [302, 410]
    link = requests.get(f"{api}/{code}", timeout=10).json()
    assert (link["max_clicks"], link["uses"], link["version"]) == (1, 1, 1)
    change(api, code, max_clicks=3)
    assert [follow(stack, code).status_code for _ in range(3)] == [302, 302, 410]
    change(api, code, max_clicks=None)
    assert follow(stack, code).status_code == 302


# --- the list --------------------------------------------------------------------------------


def pages(api: str, limit: int, between: Callable[[], object] = lambda: None) -> Iterator[Any]:
    """All pages in order, by `next` and the Link header."""
    url = f"{api}?limit={limit}"
    while True:
        answer = requests.get(url, timeout=10)
        assert answer.status_code == 200
        yield from answer.json()["links"]
        if answer.json()["next"] is None:
            assert "Link" not in answer.headers
            return
        assert (
            answer.links["next"]["url"] == f"/api/links?limit={limit}&after={answer.json()['next']}"
        )
        url = f"{api}?limit={limit}&after={answer.json()['next']}"
        between()


def test_every_link_is_listed_once_while_others_come_and_go(api: str) -> None:
    made = [link["code"] for link in create_all(api, *[{"url": GOOD}] * 30).json()["links"]]

    def disturb() -> None:
        requests.delete(f"{api}/{create(api).json()['code']}", timeout=10)
        create(api)

    listed = [link["code"] for link in pages(api, 100, disturb)]
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)
    few = []
    for link in pages(api, 7, disturb):
        few.append(link["code"])
        if set(made) <= set(few):
            break
    assert len(few) == len(set(few))


def test_the_newest_come_first_and_the_deleted_not_at_all(api: str) -> None:
    codes = [create(api).json()["code"] for _ in range(3)]
    requests.delete(f"{api}/{codes[1]}", timeout=10)
    links = requests.get(api, timeout=10).json()["links"]
    assert codes[1] not in [link["code"] for link in links]
    created = [link["created_at"] for link in links]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "after=x", "before=1"]
)
def test_a_wrong_query_of_the_list_is_refused(api: str, query: str) -> None:
    assert requests.get(f"{api}?{query}", timeout=10).status_code == 422


# --- pictures and pages ----------------------------------------------------------------------


def test_a_link_can_be_had_as_a_picture(api: str) -> None:
    code = create(api).json()["code"]
    svg = requests.get(f"{api}/{code}/qr", timeout=10)
    png = requests.get(f"{api}/{code}/qr?format=png&scale=3", timeout=10)
    assert svg.headers["Content-Type"] == "image/svg+xml"
    assert "<svg" in svg.text
    assert png.content.startswith(b"\x89PNG")
    assert requests.get(f"{api}/nobody/qr", timeout=10).status_code == 404
    for query in ("format=gif", "scale=0", "scale=33", "colour=red"):
        assert requests.get(f"{api}/{code}/qr?{query}", timeout=10).status_code == 422


def test_a_visitor_with_a_browser_reads_what_became_of_a_link(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    change(api, code, disabled=True)
    ended, unknown = follow(stack, code, **BROWSER), follow(stack, "nobody-knows", **BROWSER)
    assert (ended.status_code, unknown.status_code) == (410, 404)
    for page in (ended, unknown):
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<script" not in page.text
    assert "This link has ended" in ended.text
    assert "There is no such link" in unknown.text


# --- the docs --------------------------------------------------------------------------------


def examples(page: str) -> list[str]:
    """The text of the example boxes, as a reader would copy it."""
    boxes = page.split('<pre tabindex="0"><code>')[1:]
    return [unescape(box.partition("</code>")[0]) for box in boxes]


def paste(example: str, before: str, folder: Path) -> str:
    """The output of an example in a shell that has run the first one before."""
    ran = subprocess.run(
        ["sh", "-c", f"{before}\n{example}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert not ran.stderr
    return ran.stdout


def test_the_examples_work_when_pasted_in_turn(stack: Stack, tmp_path: Path) -> None:
    shown = examples(requests.get(f"{stack.endpoints.url}/docs", timeout=10).text)
    assert len(shown) == 13
    code = paste(shown[0], "", tmp_path).strip()
    for example in shown[1:]:
        output = paste(example, f"code={code}", tmp_path)
        assert '"status"' not in output, f"{example}\n{output}"
        assert "HTTP/1.1 4" not in output
    assert (tmp_path / "link.png").read_bytes().startswith(b"\x89PNG")
    assert follow(stack, code).status_code == 404  # the last one deletes it


# --- keys ------------------------------------------------------------------------------------


def addresses(stack: Stack) -> dict[str, str]:
    links = stack.endpoints.links
    return {
        "SHORTENER_PRIMARY_URL": links["primary"],
        "SHORTENER_REPLICA_URL": links["replica"],
        "SHORTENER_CACHE_URL": links["cache"],
        "SHORTENER_QUEUE_URL": links["queue"],
    }


@pytest.fixture(scope="module")
def guarded(stack: Stack) -> Iterator[ShortenerProcess]:
    """A web process that requires API keys and caches them for a tenth of a second."""
    environment = {
        "SHORTENER_REQUIRE_API_KEY": "true",
        "SHORTENER_API_KEY_CACHE_TTL_S": "0.1",
        "SHORTENER_CODE_LENGTH": "7",
        **addresses(stack),
    }
    with process("web", environment) as web:
        eventually(lambda: ready(web))
        yield web


def ready(web: ShortenerProcess) -> bool:
    return web.serves() and requests.get(f"{web.url}/readyz", timeout=10).ok


Keys = Callable[..., "Ran"]


@dataclass(frozen=True)
class Ran:
    """Exit code and output of a `keys` command."""

    status: int
    said: str
    told: str


@pytest.fixture(scope="module")
def keys(stack: Stack) -> Keys:
    settings = read(KeySettings, primary_url=stack.endpoints.links["primary"])

    def run(*arguments: str) -> Ran:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            status = api_key_commands.run([*arguments], settings)
        return Ran(status, out.getvalue(), err.getvalue())

    return run


def test_with_keys_everybody_has_links_of_their_own(
    stack: Stack, guarded: ShortenerProcess, keys: Keys
) -> None:
    api = f"{guarded.url}/api/links"
    assert requests.get(api, timeout=10).status_code == 401
    anna, ben = (
        {"Authorization": f"Bearer {keys('add', name).said.strip()}"} for name in ("Anna", "Ben")
    )
    made = requests.post(api, json={"url": GOOD}, headers=anna, timeout=10)
    code = made.json()["code"]
    assert (made.status_code, len(code)) == (201, 7)
    for path in (f"/{code}", f"/{code}/stats", f"/{code}/qr"):
        assert requests.get(api + path, headers=anna, timeout=10).status_code == 200
        assert requests.get(api + path, headers=ben, timeout=10).status_code == 404
    patched = requests.patch(f"{api}/{code}", json={"url": GOOD}, headers=ben, timeout=10)
    assert patched.status_code == 404
    assert requests.delete(f"{api}/{code}", headers=ben, timeout=10).status_code == 404
    listed = [requests.get(api, headers=who, timeout=10).json()["links"] for who in (anna, ben)]
    assert [[link["code"] for link in links] for links in listed] == [[code], []]
    assert follow(stack, code).status_code == 302


def test_the_same_idempotency_key_of_two_owners_is_two_keys(
    guarded: ShortenerProcess, keys: Keys
) -> None:
    codes = set()
    for name in ("Cleo", "Dan"):
        headers = {"Authorization": f"Bearer {keys('add', name).said.strip()}"}
        for _ in range(2):
            answer = requests.post(
                f"{guarded.url}/api/links",
                json={"url": GOOD},
                headers={**headers, "Idempotency-Key": "same"},
                timeout=10,
            )
            codes.add(answer.json()["code"])
    assert len(codes) == 2


def test_a_revoked_key_ends_and_none_is_stored_as_it_is(
    stack: Stack, guarded: ShortenerProcess, keys: Keys
) -> None:
    added = keys("add", "Eve")
    key, key_id = added.said.strip(), added.told.split()[1]
    headers = {"Authorization": f"Bearer {key}"}

    def status() -> int:
        return requests.get(f"{guarded.url}/api/links", headers=headers, timeout=10).status_code

    assert status() == 200
    with psycopg.connect(stack.endpoints.primary) as database:
        stored = database.execute("SELECT * FROM api_keys WHERE id = %s", [key_id]).fetchone()
    assert stored is not None
    assert key not in str(stored)
    assert f"{key_id}  made" in keys("list").said
    assert keys("revoke", key_id).status == 0
    eventually(lambda: status() == 401)
    assert "revoked" in keys("list").said
    assert keys("revoke", key_id).status == 1


@pytest.mark.parametrize("arguments", [(), ("add",), ("add", ""), ("add", "a\nb"), ("drop", "x")])
def test_a_wrong_command_for_keys_prints_the_right_ones(
    keys: Keys, arguments: tuple[str, ...]
) -> None:
    ran = keys(*arguments)
    assert ran.status == 2
    assert ran.told.startswith("usage:")


def test_a_command_for_keys_reports_that_there_is_no_database() -> None:
    environment = {"SHORTENER_PRIMARY_URL": "postgresql://anybody@127.0.0.1:1/any"}
    command = [sys.executable, "-m", "stack.shortener", "keys", "list"]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("the database failed:")
    assert "Traceback" not in ran.stderr


def test_the_examples_work_with_a_key_too(
    guarded: ShortenerProcess,
    keys: Keys,
    tmp_path: Path,
) -> None:
    key = keys("add", "Fay").said.strip()
    shown = examples(requests.get(f"{guarded.url}/docs", timeout=10).text)
    code = paste(shown[0], f"key={key}", tmp_path).strip()
    for example in shown[1:]:
        assert '"status"' not in paste(example, f"key={key} code={code}", tmp_path)
