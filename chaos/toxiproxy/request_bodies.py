"""Read proxies and toxics from JSON request bodies."""

from __future__ import annotations

from dataclasses import replace

from chaos.toxiproxy import errors, toxics
from chaos.toxiproxy.errors import ApiError
from chaos.toxiproxy.json_fields import (
    Fields,
    Struct,
    StructList,
    fields_of,
    listed_fields_of,
    read,
)
from chaos.toxiproxy.proxies import ProxySpec
from chaos.toxiproxy.proxy import DIRECTIONS, Proxy
from chaos.toxiproxy.toxic import KINDS, ToxicWrapper

assert toxics.__path__, "importing the package is what registers the kinds"

PROXY = Struct(
    "toxiproxy.Proxy",
    {"name": "string", "listen": "string", "upstream": "string", "enabled": "bool"},
)
PROXIES = StructList(
    Struct(
        'struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }',
        {**PROXY.fields, "enabled": "*bool"},
        embedded="Proxy",
    )
)
TOXIC = Struct(
    "toxics.ToxicWrapper",
    {
        "attributes": Struct("toxics.NoopToxic", {}),
        "name": "string",
        "type": "string",
        "stream": "string",
        "toxicity": "float32",
    },
)
UPDATE = (
    'struct { Attributes interface {} "json:\\"attributes\\""; '
    'Toxicity float32 "json:\\"toxicity\\"" }'
)
GO_TYPES = {
    "noop": ("NoopToxic", "int64"),
    "latency": ("LatencyToxic", "int64"),
    "bandwidth": ("BandwidthToxic", "int64"),
    "slow_close": ("SlowCloseToxic", "int64"),
    "timeout": ("TimeoutToxic", "int64"),
    "reset_peer": ("ResetToxic", "int64"),
    "slicer": ("SlicerToxic", "int"),
    "limit_data": ("LimitDataToxic", "int64"),
}


def new_proxy(body: bytes) -> ProxySpec:
    """Return the proxy to create.

    Raises:
        ApiError: 400, not a JSON object, a field of the wrong kind, no name or no upstream.
    """
    return _named(_wanted(fields_of(body, PROXY)), "")


def new_proxies(body: bytes) -> list[ProxySpec]:
    """Return the proxies to populate with.

    Raises:
        ApiError: 400, as for one proxy, or not a JSON array.
    """
    all_wanted = [_wanted(fields) for fields in listed_fields_of(body, PROXIES)]
    return [_named(each, f" at proxy {place}") for place, each in enumerate(all_wanted, 1)]


def changed_proxy(proxy: Proxy, body: bytes) -> ProxySpec:
    """Return the proxy with the changes of a request; its name stays.

    Raises:
        ApiError: 400, not a JSON object or a field of the wrong kind.
    """
    now = ProxySpec(proxy.name, proxy.listen, proxy.upstream, proxy.enabled)
    return replace(now, **{**fields_of(body, PROXY), "name": proxy.name})


def new_toxic(proxy: Proxy, body: bytes) -> ToxicWrapper:
    """Return the toxic to add.

    Raises:
        ApiError: 400, not a JSON object, a field of the wrong kind, an unknown stream or type;
            409, the proxy has one of that name.
    """
    fields = fields_of(body, TOXIC)
    kind, stream = fields.get("type", ""), fields.get("stream", "downstream")
    if stream.lower() not in DIRECTIONS:
        raise ApiError("stream was invalid, can be either upstream or downstream", 400)
    if kind not in KINDS:
        raise ApiError("invalid toxic type", 400)
    name = fields.get("name") or f"{kind}_{stream}"
    if any(wrapper.name == name for wrapper in proxy.toxics):
        raise ApiError("toxic already exists", 409)
    given = fields_of(body, Struct("", {"attributes": _attributes_of(kind)}))
    toxic = KINDS[kind](**given.get("attributes", {}))
    return ToxicWrapper(name, kind, stream, toxic, fields.get("toxicity", 1.0))


def change_toxic(wrapper: ToxicWrapper, body: bytes) -> None:
    """Change the attributes or the toxicity of a toxic.

    Raises:
        ApiError: 400, not a JSON object or a field of the wrong kind. As in Toxiproxy the
            attributes that could be read are changed even so; the toxicity is not.
    """
    attributes = {"attributes": _attributes_of(wrapper.kind), "toxicity": "float32"}
    given, problem = read(body, Struct(UPDATE, attributes))
    wrapper.toxic.set(given.get("attributes", {}))
    if problem:
        raise problem
    wrapper.toxicity = given.get("toxicity", wrapper.toxicity)


def _attributes_of(kind: str) -> Struct:
    """Return the attributes of a kind of toxic."""
    name, whole = GO_TYPES[kind]
    return Struct(f"toxics.{name}", dict.fromkeys(KINDS[kind].attribute_names(), whole))


def _wanted(fields: Fields) -> ProxySpec:
    return ProxySpec(**{"name": "", "listen": "", "upstream": "", **fields})


def _named(wanted: ProxySpec, place: str) -> ProxySpec:
    if not wanted.name:
        raise errors.missing(f"name{place}")
    if not wanted.upstream:
        raise errors.missing(f"upstream{place}")
    return wanted
