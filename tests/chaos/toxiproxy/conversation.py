"""Responses of Toxiproxy 2.12 to a long conversation, word for word, in `answers.json`.

`python -m tests.chaos.toxiproxy.conversation` records it again from the original (ORIGINAL_TOXIPROXY).
"""
# ruff: noqa: E501 (requests are listed as they are sent)

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.toxiproxy.servers import ORIGINAL, WAIT_S, ToxiproxyServer, running

ANSWERS = Path(__file__).with_name("answers.json")
FREE_PORT = re.compile(r"(127\.0\.0\.1|\[::1?\]):[1-9]\d{3,4}\b")
SHOWN_HEADERS = ("content-type", "x-content-type-options", "location", "allow", "connection")

Exchange = tuple[str, str, str]
P, T = "/proxies", "/proxies/a/toxics"
A = '{"name":"a","listen":"127.0.0.1:0","upstream":"127.0.0.1:9"}'

BROKEN = [
    "", "{", "[", "[]", "5", '"x"', "true", "null", "nul", "nulx", "falsy", '{"a":tru}', "-", "-x",
    "01", "1.", "1.x", "1e", "1ex", "1e+", "1e5", '"abc', '"a\\x"', '"\\u12g"', '"\n"', '{"a":"\x01"}',
    "[1 2]", "[1,]", "[,", "{1:2}", "é", '{"a":é}', "\0", " \t\n\r", "\v{}", "\x7f", "\x85", "}", "'a'",
    "`", "\\", "[[[", '{"a":[1,{"b":"c}', '{"name" "x"}', '{"name":}', "{,}", '{"a":1,}', '{"a":1 "b"}',
    '{"a":[}', '{"a":{"b":1]', '{"a":1}}', '{"name":1}', '{"name":true}', '{"name":[]}', '{"name":{}}',
    '{"name":1.5e3}', '{"NAME":5}', '{"enabled":"yes"}', '{"enabled":1}', '{"upstream":5,"name":[]}',
]  # fmt: skip
LISTENS = [
    "nonsense", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:nonsense", "127.0.0.1:0x50", "::1:5",
    "[::1", "[::1]x:0", "1.2.3.4:0", "127.0.0.1", "a:b:c", "[127.0.0.1]:0", "127.0.0.1:+0",
    "127.0.0.1:", "localhost:0", "127.0.0.1:99999999999999999999", "256.1.1.1:0", "127.1:0",
    "0.0.0.0:0", "[::]:0", "[0.0.0.0]:0", "[::ffff:0.0.0.0]:0", "[::ffff:127.0.0.1]:0", "[::1%lo]:0",
    "[::1%nowhere]:0", "[0:0:0:0:0:0:0:1]:0", "[::0]:0", "[::1]:", "[::1]", "[::1]:0:0", "[:0", "]:0",
    "x]:0", "a[b]:0", "127.0.0.1:[", "[::1]:]", "LOCALHOST:0", "0:0", "00.0.0.0:0", "127.0.0.01:0",
    "0127.0.0.1:0", "127.000.0.1:0", "2130706433:0", "127.0.0.1%lo:0", "*:0", "%:0", " 127.0.0.1:0",
    "127.0.0.1 :0", "127\u30020\u30020\u30021:0", "\u0661:0", "a\0b:0", "a..b:0", "-a:0", "a-:0",
    "x" * 64 + ":0", "127.0.0.1:-0", "127.0.0.1:00", "127.0.0.1:-", "127.0.0.1:+-0", "127.0.0.1:0 ",
    "127.0.0.1:1_0", "127.0.0.1:\uff11", "127.0.0.1:a\0b", "127.0.0.1:NONSENSE",
]  # fmt: skip
POPULATIONS = [
    "", "[]", "{}", "5", '"x"', "null", "[5]", "[null]", '[{"name":5}]', '[{"enabled":"x"}]',
    '[{"name":"a","upstream":7}]', '[{"listen":[]}]', '[{"name":"a"}', '[{"name":"a"}]',
    '[{"name":"z","upstream":"x","enabled":false},{"name":"y","upstream":"x","enabled":"n"}]',
    '[{"name":"z","upstream":"x","enabled":false},{"name":"y","upstream":"x","listen":"127.0.0.1:0"}]',
    '[{"name":"z","upstream":"y","enabled":null,"listen":"127.0.0.1:0"}]',
    '[{"name":"n","upstream":"x","listen":"nonsense"}]',
    '[{"name":"ok","upstream":"x","listen":"127.0.0.1:0"},{"name":"n","upstream":"x","listen":"n"}]',
]  # fmt: skip
TOXICS = [
    "", "[]", "5", "{}", '{"type":5}', '{"stream":5}', '{"name":5}', '{"toxicity":"1"}',
    '{"toxicity":1e39}', '{"type":"lat"}', '{"stream":""}', '{"type":"latency","stream":"x"}',
    '{"type":"latency","attributes":5}', '{"type":"latency","attributes":[]}',
    '{"type":"latency","attributes":{"latency":5.0}}',
    '{"type":"latency","attributes":{"latency":"x","jitter":true}}',
    '{"type":"latency","attributes":{"latency":1e2}}',
    '{"type":"latency","attributes":{"latency":9223372036854775808}}',
    '{"type":"latency","attributes":{"latency":-9223372036854775809}}',
    '{"type":"slicer","attributes":{"average_size":1.5}}',
    '{"type":"bandwidth","attributes":{"rate":"5"}}',
    '{"type":"limit_data","attributes":{"bytes":{}}}',
    '{"type":"slow_close","attributes":{"delay":false}}',
    '{"type":"timeout","attributes":{"timeout":false}}',
    '{"type":"reset_peer","attributes":{"timeout":[1]}}',
    '{"type":"latency","attributes":{"latency":5}',
    '{"type":"noop","attributes":{"x":1}}', '{"type":"noop","name":"UP","stream":"UpStream"}',
    '{"type":"latency","stream":"DOWNSTREAM"}', '{"type":"latency","name":"n","attributes":null}',
    '{"type":"slicer"}', '{"type":"limit_data"}', '{"type":"slow_close"}', '{"type":"timeout"}',
    '{"type":"reset_peer"}', '{"type":"bandwidth"}', '{"type":"latency"}', '{"type":"latency"}',
    '{"type":"latency","attributes":{"latency":"x"}}',
    '{"type":"latency","name":"t1","toxicity":0.1}',
    '{"type":"latency","name":"t2","toxicity":0.123456789}',
    '{"type":"latency","name":"t3","toxicity":-5}', '{"type":"latency","name":"t4","toxicity":3}',
    '{"type":"latency","name":"t5","toxicity":16777217}', '{"type":"latency","name":"t6","toxicity":1e-46}',
    '{"type":"latency","name":"z","attributes":{"latency":1},"attributes":{"jitter":2}}',
    '{"type":"latency","name":"K","\u212aind":1,"ATTRIBUTES":{"\u017flatency":1,"Latency":2}}',
    '{"name":"a/b","type":"latency"}', '{"name":"a b","type":"latency"}',
    '{"name":"e","type":"latency","toxicity":null,"stream":null} trailing',
    '{"type":"latency","name":"<é&\\u2028\\ud800\\ud83d\\ude00\\n\\u0001>"}',
]  # fmt: skip
CHANGES = [
    '{"attributes":{"latency":77,"jitter":"x"},"toxicity":0.3}',
    '{"toxicity":"x","attributes":{"latency":78}}', '{"attributes":5}', '{"attributes":[]}',
    '{"attributes":null}', "[]", "", '{"toxicity":0.25}', '{"attributes":{"latency":1.5}}',
    '{"toxicity":1e39}', '{"attributes":{"latency":80}', '{"attributes":{"latency":81}} x',
    '{"type":5,"name":6,"attributes":{"latency":82}}', '{"ATTRIBUTES":{"JITTER":3},"Toxicity":0}',
]  # fmt: skip
TOXICITIES = [
    "1e400", "-1e400", "1e39", "-1e39", "3.4028235e38", "3.4028235677973366e38", "3.4028236e38", "1e309",
    "NaN", "Infinity", "-Infinity", "5e-05", "0.00005", "1e-5", "1e-6", "1e-7", "9.99e-7", "2.5e-9",
    "1.5e-10", "1e-45", "7e-46", "1e-999999999999", "0e999999999999", "1e999999999999999999999", "1e5",
    "1E2", "1e+2", "100000.5", "12345678", "33554433", "1e20", "1e21", "-1e21", "1e38", "-0", "-0.0",
    "1.00000005960464477539062500000000001", "1.000000059604644775390625", "0.30000001",
    "123456789012345678901234567890",
]  # fmt: skip
AMOUNTS = [
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
    "1e400", "1e2", "-0", "-0.0", "NaN", "1" * 300,
]  # fmt: skip
ATTRIBUTES = [
    ("latency", "latency"), ("latency", "jitter"), ("bandwidth", "rate"), ("slicer", "average_size"),
    ("slicer", "size_variation"), ("slicer", "delay"), ("limit_data", "bytes"), ("timeout", "timeout"),
    ("reset_peer", "timeout"), ("slow_close", "delay"),
]  # fmt: skip
NAMES = [
    "\\u0000", "\\ud800", "\\udc00\\ud800", "\\ud83d\\ude00", "\\ufffe", "\\uffff", "\x7f", "\x85", "%",
    "\\ufffd", "e\u0301", "\\t", '\\"', "\u0130",
]  # fmt: skip
PATHS = [
    ("GET", "/"), ("GET", "/proxies/"), ("GET", "//proxies"), ("POST", "//proxies"), ("GET", "/Version"),
    ("GET", "/proxies/../version"), ("GET", "/proxies//a"), ("GET", "/./version"), ("HEAD", "/version"),
    ("PUT", "/proxies"), ("OPTIONS", "/proxies"), ("GET", "/reset"), ("POST", "/version"),
    ("PATCH", "/populate"), ("GET", "/proxies/a%2e"), ("GET", "/version/"), ("GET", "/proxies/none"),
    ("DELETE", "/proxies/none"), ("PATCH", "/proxies/none"), ("GET", "/proxies/../x?y=%20"),
    ("PATCH", "/proxies/none/toxics/x"), ("GET", "/proxies/none/toxics"), ("PROPFIND", "/proxies"),
    ("GET", T + "/none"), ("PATCH", T + "/none"), ("DELETE", T + "/none"), ("PUT", T), ("GET", T + "/a/b"),
    ("GET", "/proxies/%"), ("GET", "/proxies/%zz"), ("GET", "/proxies/a%2"), ("GET", "//proxies/%ff"),
    ("GET", "/proxies/%ff"), ("GET", "/proxies/%ef%bf%bd"), ("GET", "/proxies/%00"),
]  # fmt: skip

CHAPTERS: dict[str, list[Exchange]] = {
    "bodies": [("POST", P, body) for body in BROKEN],
    "names": [
        ("POST", P, '{"name":"<b>&\u2028é","upstream":"x:1","enabled":false}'),
        ("POST", P, '{"name":"\\ud800x","upstream":"x","enabled":false}'),
        ("POST", P, '{"name":"q","upstream":"x","enabled":null,"listen":"127.0.0.1:0"} trailing'),
        ("POST", P, '{"name":"p q","upstream":"x","listen":"localhost:7","enabled":false}'),
        ("POST", P, '{"name":"q","upstream":"x"}'),
        ("GET", "/proxies/p%20q", ""),
        ("GET", "/proxies/p+q", ""),
        ("GET", P, ""),
    ],
    "addresses": [
        ("POST", P, A),
        *(
            (method, path, json.dumps({"name": f"L{listen}", "upstream": "x", "listen": listen} | off))
            for listen in LISTENS
            for method, path, off in (("POST", P, {}), ("PATCH", "/proxies/a", {"enabled": False}))
        ),
    ],
    "populate": [("POST", "/populate", body) for body in POPULATIONS] + [("GET", P, "")],
    "toxics": [("POST", P, A), *(("POST", T, body) for body in TOXICS), ("GET", T, "")],
    "numbers": [
        ("POST", P, A),
        *(
            ("POST", T, f'{{"type":"noop","name":"{place}","toxicity":{toxicity}}}')
            for place, toxicity in enumerate(TOXICITIES)
        ),
        ("GET", P, ""),
        *(
            exchange
            for kind, attribute in ATTRIBUTES
            for amount in AMOUNTS
            for exchange in (
                ("POST", T, f'{{"type":"{kind}","attributes":{{"{attribute}":{amount}}}}}'),
                ("DELETE", f"{T}/{kind}_downstream", ""),
            )
        ),
        *(("PATCH", f"{T}/0", f'{{"toxicity":{toxicity}}}') for toxicity in TOXICITIES),
        *(("PATCH", f"{T}/11", f'{{"toxicity":{toxicity}}}') for toxicity in TOXICITIES),
        ("GET", P, ""),
    ],
    "odd names": [
        ("POST", P, A),
        *(
            exchange
            for name in NAMES
            for exchange in (
                ("POST", P, f'{{"name":"{name}","upstream":"{name}","enabled":false}}'),
                ("POST", P, f'{{"name":"x","upstream":"x","listen":"127.0.0.1{name}:0"}}'),
                ("POST", P, f'{{"name":"x","upstream":"x","listen":"127.0.0.1:{name}"}}'),
                ("POST", T, f'{{"type":"noop","name":"{name}"}}'),
                ("POST", T, f'{{"type":"noop","stream":"{name}"}}'),
                ("POST", T, f'{{"type":"{name}"}}'),
            )
        ),
        ("GET", P, ""),
    ],
    "changes": [
        ("POST", P, A),
        ("POST", T, '{"type":"latency","name":"t"}'),
        *(
            exchange
            for body in CHANGES
            for exchange in (("PATCH", f"{T}/t", body), ("GET", f"{T}/t", ""))
        ),
        ("POST", f"{T}/t", '{"toxicity":1}'),
        ("POST", "/proxies/a", '{"enabled":"x"}'),
        ("POST", "/proxies/a", "[]"),
        ("POST", "/proxies/a", '{"upstream":"other:1","name":"b","toxics":[]}'),
        ("PATCH", "/proxies/a", '{"enabled":false}'),
        ("POST", "/reset", ""),
        ("GET", P, ""),
        ("DELETE", "/proxies/a", ""),
        ("GET", P, ""),
    ],
    "paths": [
        ("POST", P, A),
        ("POST", P, '{"name":"%","upstream":"x","enabled":false}'),
        *((method, path, "") for method, path in PATHS),
    ],
}  # fmt: skip


def answers(server: ToxiproxyServer, chapter: str) -> Iterator[str]:
    """Return the response to each request of a chapter, a line each."""
    where = urlsplit(server.url).netloc
    for method, path, body in CHAPTERS[chapter]:
        connection = http.client.HTTPConnection(where, timeout=WAIT_S)
        connection.request(method, path, body.encode() or None)
        answer = connection.getresponse()
        text = FREE_PORT.sub(r"\1:PORT", answer.read().decode())
        connection.close()
        headers = "; ".join(
            f"{name}: {value}" for name in SHOWN_HEADERS if (value := answer.headers[name])
        )
        named = "an id" if re.fullmatch("[0-9a-v]{20}", _id_of(answer)) else "no id"
        yield f"{method} {path} {body!r} -> {answer.status} ({headers}; {named}) {text!r}"


def _id_of(answer: http.client.HTTPResponse) -> str:
    return answer.headers["x-toxiproxy-request-id"] or ""


def recorded(chapter: str) -> list[str]:
    """Return the recorded responses of the original."""
    found: list[str] = json.loads(ANSWERS.read_text())[chapter]
    return found


def main() -> None:
    """Record what the original says."""
    told: dict[str, list[str]] = {}
    with running(ORIGINAL) as server:
        for chapter in CHAPTERS:
            told[chapter] = list(answers(server, chapter))
            server.delete_all()
    ANSWERS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
