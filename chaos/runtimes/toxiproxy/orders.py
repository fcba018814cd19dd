"""What a request asks for: proxies and toxics, read from JSON bodies."""

from __future__ import annotations

from dataclasses import replace

from chaos.runtimes.toxiproxy import errors, toxics
from chaos.runtimes.toxiproxy.body import Fields, as_fields, flag, number, parse, text, whole
from chaos.runtimes.toxiproxy.proxy import DIRECTIONS, Proxy
from chaos.runtimes.toxiproxy.registry import Wanted
from chaos.runtimes.toxiproxy.toxic import KINDS, Dose, Toxic

assert toxics.__path__, "importing the package is what registers the kinds"


def new_proxy(body: bytes) -> Wanted:
    """The proxy to create.

    Raises:
        ApiError: 400, no JSON object, a field of the wrong kind, no name or no upstream.
    """
    return _named(_wanted(as_fields(parse(body))), "")


def new_proxies(body: bytes) -> list[Wanted]:
    """The proxies to populate with.

    Raises:
        ApiError: 400, as for one proxy, or no JSON array.
    """
    listed = parse(body)
    if not isinstance(listed, list):
        raise errors.bad_body("cannot read it, it must be an array of proxies")
    all_wanted = [_wanted(as_fields(each)) for each in listed]
    return [_named(each, f" at proxy {place}") for place, each in enumerate(all_wanted, 1)]


def changed_proxy(proxy: Proxy, body: bytes) -> Wanted:
    """The proxy with what the request changes; its name stays.

    Raises:
        ApiError: 400, no JSON object or a field of the wrong kind.
    """
    now = Wanted(proxy.name, proxy.listen, proxy.upstream, proxy.enabled)
    return replace(_wanted(as_fields(parse(body)), now), name=proxy.name)


def new_dose(body: bytes) -> Dose:
    """The toxic to add.

    Raises:
        ApiError: 400, no JSON object, a field of the wrong kind, an unknown stream or type.
    """
    fields = as_fields(parse(body))
    kind, stream = text(fields, "type"), text(fields, "stream", "downstream")
    toxicity = number(fields, "toxicity", 1.0)
    name = text(fields, "name") or f"{kind}_{stream}"
    if stream.lower() not in DIRECTIONS:
        raise errors.bad_stream()
    if kind not in KINDS:
        raise errors.bad_kind()
    return Dose(name, kind, stream, _with_attributes(KINDS[kind](), fields), toxicity)


def changed_dose(dose: Dose, body: bytes) -> Dose:
    """The toxic with other attributes or toxicity; nothing else of it can change.

    Raises:
        ApiError: 400, no JSON object or a field of the wrong kind.
    """
    fields = as_fields(parse(body))
    toxicity = number(fields, "toxicity", dose.toxicity)
    return replace(dose, toxic=_with_attributes(dose.toxic, fields), toxicity=toxicity)


def _wanted(fields: Fields, default: Wanted | None = None) -> Wanted:
    default = default or Wanted("", "", "")
    return Wanted(
        name=text(fields, "name", default.name),
        listen=text(fields, "listen", default.listen),
        upstream=text(fields, "upstream", default.upstream),
        enabled=flag(fields, "enabled", default.enabled),
    )


def _named(wanted: Wanted, place: str) -> Wanted:
    if not wanted.name:
        raise errors.missing(f"name{place}")
    if not wanted.upstream:
        raise errors.missing(f"upstream{place}")
    return wanted


def _with_attributes(toxic: Toxic, fields: Fields) -> Toxic:
    given = as_fields(fields.get("attributes"))
    return replace(
        toxic, **{name: whole(given, name, old) for name, old in toxic.attributes.items()}
    )
