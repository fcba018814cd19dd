"""The API: endpoints for links, the OpenAPI document and the documentation page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.routing import Route, Router

from stack.shortener.api import bodies, docs_page, openapi, qr_code, validation
from stack.shortener.api.access import AccessCheck, Caller, header
from stack.shortener.api.answers import Link, Links, Page, ShortLink
from stack.shortener.api.bodies import NewLink
from stack.shortener.api.link_creation import LinkCreation
from stack.shortener.api.links import LinkStore
from stack.shortener.api.resources import CALLER, ApiResponse, Resource, as_json
from stack.shortener.api.writes import OutcomeUnknown, Written
from stack.shortener.http import asgi, pages
from stack.shortener.http.problems import Problem, unavailable, unknown_outcome
from stack.shortener.http.targets import TargetRules
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.codes import CODE
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.servers import Server
from stack.shortener.redirect.cache import Cache, CacheUnavailable
from stack.shortener.redirect.read_tokens import HEADER, ReadTokens
from stack.shortener.settings import WebSettings

PAGES = frozenset({"/docs", "/openapi.json"})  # paths of one segment, which no link can have
# Responses are not cached, and nothing in them may be executed or framed.
HEADERS: asgi.Headers = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_NO_STORE: asgi.Headers = ((b"cache-control", b"no-store"),)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class LinkApi:
    """The endpoints; each change of a link invalidates the cache before the response is sent."""

    def __init__(
        self,
        links: LinkStore,
        maker: LinkCreation,
        cache: Cache,
        metrics: Metrics,
        gate: AccessCheck,
        peers: TrustedProxies,
        settings: WebSettings,
        tokens: ReadTokens | None = None,
    ) -> None:
        self._links = links
        self._maker = maker
        self._cache = cache
        self._metrics = metrics
        self._gate = gate
        self._peers = peers
        self._settings = settings
        self._tokens = tokens
        self._public_url = settings.public_url
        self._targets = TargetRules(settings.refuse_private_targets, self._public_url)
        self._router = Router(self._routes(), redirect_slashes=False, default=self._not_found)
        self._documents = lru_cache(maxsize=16)(self._render)

    def _routes(self) -> Sequence[Route]:
        one = "/api/links/{code}"

        def at(path: str, **endpoints: Any) -> Route:
            return Route(path, Resource(HEADERS, **endpoints))

        return [
            at("/api/links", POST=("create", self.create), GET=("list", self.page)),
            at("/api/links/bulk", POST=("bulk", self.create_all)),
            at(
                one,
                GET=("read", self.show),
                PATCH=("change", self.update),
                DELETE=("delete", self.delete),
            ),
            at(f"{one}/stats", GET=("stats", self.stats)),
            at(f"{one}/qr", GET=("qr", self.qr)),
            at("/openapi.json", GET=("docs", self.description)),
            Route("/docs", Resource((*pages.HEADERS, *_NO_STORE), GET=("docs", self.docs))),
        ]

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Handle a request; errors are sent in the format that it accepts."""
        try:
            scope[CALLER] = await self._gate.enter(scope)
            await self._router(scope, receive, send)
        except Problem as problem:
            await self._send_problem(scope, send, problem)
        except OutcomeUnknown as error:
            log("outcome_unknown", level="warning", path=scope["path"], error=str(error))
            await self._send_problem(scope, send, unknown_outcome())
        except DatabaseUnavailable as error:
            log("database_unavailable", level="warning", path=scope["path"], error=str(error))
            await self._send_problem(scope, send, unavailable())

    async def _not_found(self, _scope: asgi.Scope, _receive: asgi.Receive, _: asgi.Send) -> None:
        docs = f"{urlsplit(self._public_url).path}/docs"
        raise Problem(404, f"there is nothing here; the API is described at {docs}")

    async def _send_problem(self, scope: asgi.Scope, send: asgi.Send, problem: Problem) -> None:
        caller: Caller | None = scope.get(CALLER)
        more = caller.headers if caller else ()
        await pages.problem(send, problem, scope["headers"], (*_NO_STORE, *more))

    async def create(self, request: Request) -> ApiResponse:
        """POST /api/links: 201 with the link, also for a repeated Idempotency-Key and body."""
        written, base = await self._create(request, bulk=False)
        [link] = written.value
        location = (b"location", b"/api/links/" + link.code.encode())
        headers = await self._write_headers(written.server)
        return as_json(201, self._link(link, base), _tag(link), location, *headers)

    async def create_all(self, request: Request) -> ApiResponse:
        """POST /api/links/bulk: 201 with all links in their order, or no link is created."""
        written, base = await self._create(request, bulk=True)
        members = Links(links=[self._link(link, base) for link in written.value])
        return as_json(201, members, *await self._write_headers(written.server))

    async def _create(
        self, request: Request, *, bulk: bool
    ) -> tuple[Written[Sequence[ShortLink]], str]:
        settings, owner = self._settings, _owner(request)
        key = validation.idempotency_key(request.headers.get("idempotency-key"))
        base = self._base(request)
        max_bytes = settings.bulk_body_max_bytes if bulk else settings.api_body_max_bytes
        members = await self._members(request, max_bytes)

        def checked(now: datetime) -> list[NewLink]:
            if bulk:
                return bodies.new_links(members, now, settings.bulk_max_links, self._targets, base)
            return [bodies.new_link(members, now, self._targets, base)]

        wanted, rejected = _validated(checked, key)
        self._gate.charge(_caller(request), len(wanted))
        if key is not None:
            written = await self._maker.create_once(
                key, wanted, owner, bulk=bulk, rejected=rejected
            )
        elif bulk:
            written = await self._maker.create_all(wanted, owner)
        else:
            one = await self._maker.create(wanted[0], owner)
            written = Written([one.value], one.server)
        await self._invalidate_new(written.value, wanted)
        return written, base

    async def page(self, request: Request) -> ApiResponse:
        """GET /api/links: a page of links, newest first, and the cursor of the next page."""
        page = validation.page(request.query_params.multi_items())
        base = self._base(request)
        listed = await self._links.page(page, _owner(request))
        links = [self._link(link, base) for link in listed.links]
        if listed.next is None:
            return as_json(200, Page(links=links, next=None))
        next_page = f'</api/links?limit={page.limit}&after={listed.next}>; rel="next"'
        return as_json(200, Page(links=links, next=str(listed.next)), (b"link", next_page.encode()))

    async def show(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}: the link as it is now."""
        base = self._base(request)
        link = await self._links.get(_code(request), _owner(request))
        return as_json(200, self._link(link, base), _tag(link))

    async def update(self, request: Request) -> ApiResponse:
        """PATCH /api/links/{code}: change the given members if the version matches If-Match."""
        code, base = _code(request), self._base(request)
        versions = validation.versions(_if_match(request))
        members = await self._members(request, self._settings.api_body_max_bytes)
        change = bodies.change(members, self._targets, base)
        written = await self._links.update(code, change, versions, _owner(request))
        link = written.value
        await self._invalidate(link.code, link.version)
        headers = await self._write_headers(written.server)
        return as_json(200, self._link(link, base), _tag(link), *headers)

    async def delete(self, request: Request) -> ApiResponse:
        """DELETE /api/links/{code}: 204; the code is never reused."""
        code, versions = _code(request), validation.versions(_if_match(request))
        written = await self._links.delete(code, versions, _owner(request))
        await self._invalidate(code, written.value)
        return ApiResponse(204, headers=await self._write_headers(written.server))

    async def stats(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}/stats: the clicks counted so far."""
        return as_json(200, await self._links.stats(_code(request), _owner(request)))

    async def qr(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}/qr: the short link as a QR code."""
        code, base = _code(request), self._base(request)
        image_format, scale = validation.qr_options(request.query_params.multi_items())
        await self._links.get(code, _owner(request))
        self._gate.charge(_caller(request), qr_code.RATE_COST)
        short_url = f"{self._public_url or base}/{code}"
        image = await asyncio.to_thread(qr_code.draw, short_url, image_format, scale)
        media_type = qr_code.MEDIA_TYPES[image_format].encode()
        return ApiResponse(200, image, ((b"content-type", media_type),))

    async def description(self, request: Request) -> ApiResponse:
        """GET /openapi.json: the OpenAPI document."""
        document, _ = self._documents(self._public_url or self._base(request))
        return ApiResponse(200, document, ((b"content-type", b"application/json"),))

    async def docs(self, request: Request) -> ApiResponse:
        """GET /docs: the documentation page."""
        _, page = self._documents(self._public_url or self._base(request))
        return ApiResponse(200, page, ((b"content-type", pages.MEDIA_TYPE),))

    def _render(self, base: str) -> tuple[bytes, bytes]:
        document = openapi.document(base, self._settings)
        return openapi.as_bytes(document), docs_page.render(document)

    async def _members(self, request: Request, max_bytes: int) -> dict[str, Any]:
        return await bodies.members(request, max_bytes, self._settings.api_body_timeout_s)

    async def _write_headers(self, server: Server) -> asgi.Headers:
        """Headers with the server that took the write, and a token if sessions are kept."""
        took = (
            (b"x-server", server.name.encode("ascii", "replace")),
            (b"x-timeline", b"%d" % server.timeline),
        )
        token = ((HEADER, await self._tokens.issue()),) if self._tokens else ()
        return (*took, *token)

    async def _invalidate_new(self, links: Sequence[ShortLink], wanted: Sequence[NewLink]) -> None:
        """Drop cached 404s of the aliases; a random code has not been requested before.

        Where sessions are kept, others read the replica alone, so a 404 of a lagging one must not
        be cached for the session that created the link.
        """
        codes = [each.alias for each in wanted if each.alias is not None]
        if self._tokens:
            codes = [link.code for link in links]
        if codes:
            await asyncio.gather(*(self._invalidate(code, 1) for code in codes))

    async def _invalidate(self, code: str, version: int) -> None:
        """Invalidate the cached link; on failure the cache does it once it is reachable again."""
        try:
            await self._cache.invalidate(code, version)
        except CacheUnavailable as error:
            self._metrics.cache_failures += 1
            log(
                "cache_invalidation_failed",
                level="warning",
                code=code,
                version=version,
                error=repr(error),
            )

    def _base(self, request: Request) -> str:
        """The origin to which the client sent the request, such as `https://sho.rt`."""
        headers: asgi.Headers = request.scope["headers"]
        host = header(headers, b"host").decode("latin-1")
        if not host:  # optional in HTTP/1.0
            host = "{}:{}".format(*request.scope["server"])
        if not _is_host(host):
            raise Problem(400, "the Host header is malformed")
        client = request.scope.get("client")
        scheme = _forwarded_scheme(headers) if client and self._peers.is_trusted(client[0]) else ""
        return f"{scheme or request.scope['scheme']}://{host}"

    def _link(self, link: ShortLink, base: str) -> Link:
        return Link(**vars(link), short_url=f"{self._public_url or base}/{link.code}")


def _validated(
    checked: Callable[[datetime], list[NewLink]], key: str | None
) -> tuple[list[NewLink], Problem | None]:
    """The validated request, and why it may not create links now.

    A repeated request gets its first response even if `expires_at` has passed meanwhile.
    """
    try:
        return checked(datetime.now(UTC)), None
    except Problem as problem:
        if key is None:
            raise
        return checked(validation.EPOCH), problem


@lru_cache(maxsize=1024)
def _is_host(host: str) -> bool:
    try:
        return _HOST.fullmatch(host) is not None and urlsplit(f"//{host}").port != 0
    except ValueError:  # an invalid IPv6 address or port
        return False


def _forwarded_scheme(headers: asgi.Headers) -> str:
    """The scheme between the client and the first proxy; later proxies may have appended theirs."""
    schemes = next((value for name, value in headers if name == b"x-forwarded-proto"), b"")
    first = schemes.partition(b",")[0].strip().lower()
    return first.decode() if first in (b"http", b"https") else ""


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


def _owner(request: Request) -> str | None:
    return _caller(request).owner


def _tag(link: ShortLink) -> tuple[bytes, bytes]:
    return b"etag", b'"%d"' % link.version


def _if_match(request: Request) -> str | None:
    """All If-Match headers joined: a list of tags may span several of them."""
    return ",".join(request.headers.getlist("if-match")) or request.headers.get("if-match")


def _code(request: Request) -> str:
    code: str = request.path_params["code"]
    if CODE.fullmatch(code) is None:
        raise Problem(404, "there is no such link")
    return code
