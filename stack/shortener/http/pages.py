"""HTML pages without scripts or external resources, and errors as such pages.

Programs get a problem document; browsers, which accept HTML, get a page.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

from stack.shortener.http import asgi, problems
from stack.shortener.http.problems import Problem

MEDIA_TYPE = b"text/html; charset=utf-8"
_STYLE = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest())
# Only the one style is allowed; no scripts, loads, forms or frames.
HEADERS: asgi.Headers = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'sha256-" + _STYLE_HASH + b"'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_VARY = (b"vary", b"accept")
_ADVICE = {
    403: "Open the link itself; the preview did not use it up.",
    404: "Check the address for a typing mistake, or ask the person who gave it to you.",
    405: "This address does not accept such requests.",
    410: "It used to work. The person who gave it to you may have a new one.",
    429: "Wait a little, then try again.",
    503: "Wait a little, then try again.",
}


def page(title: str, body: str) -> bytes:
    """A whole page; `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    ).encode(errors="replace")  # an unpaired surrogate, as JSON allows, becomes ?


async def problem(
    send: asgi.Send, trouble: Problem, asked: asgi.Headers, more: asgi.Headers = ()
) -> None:
    """Send a problem in the form accepted by the request with the headers `asked`."""
    if wants_page(asked):
        body = _in_words(trouble)
        headers = [
            (b"content-type", MEDIA_TYPE),
            (b"content-length", b"%d" % len(body)),
            *HEADERS,
            *problems.own_headers(trouble),
        ]
    else:
        body = problems.document(trouble)
        headers = list(problems.headers(trouble, len(body)))
    await asgi.answer(send, trouble.status, [*headers, _VARY, *more], body)


def wants_page(asked: asgi.Headers) -> bool:
    """True if the Accept header names HTML, as that of browsers does."""
    return any(name == b"accept" and b"text/html" in value.lower() for name, value in asked)


def _in_words(trouble: Problem) -> bytes:
    said = trouble.detail[:1].upper() + trouble.detail[1:]
    advice = _ADVICE.get(trouble.status, "")
    return page(
        said,
        f'<main class="problem">\n<p class="status">{trouble.status} {escape(trouble.title)}</p>\n'
        f"<h1>{escape(said)}</h1>\n<p>{escape(advice)}</p>\n</main>",
    )
