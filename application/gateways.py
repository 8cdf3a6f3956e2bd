"""gateways.yaml: the doors of an application, with the rules of each type.

Called by the loader. That the topics exist is checked by the planner, which knows all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from .model import Authentication, Gateway, GatewayType, Header
from .problems import Problems, did_you_mean
from .reading import Reader
from .yaml import Node

_TYPES: tuple[GatewayType, ...] = get_args(GatewayType)
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "produce": ("produceOptions", "produce-options"),
    "consume": ("consumeOptions", "consume-options"),
    "chat": ("chat-options",),
    "service": ("service-options",),
}
_KEYS = (
    "id",
    "type",
    "topic",
    "parameters",
    "authentication",
    *(key for keys in _OPTIONS.values() for key in keys),
    "events-topic",
)
PROVIDERS = ("google", "github", "jwt", "http")
_NEEDED = {"google": "clientId", "http": "base-url"}


def read_gateways(node: Node, problems: Problems) -> tuple[Gateway, ...]:
    root = Reader(node, "gateways.yaml", ("gateways",), problems, at=node.at)
    found: dict[tuple[str, str], Gateway] = {}
    for item in root.list("gateways"):
        gateway = _read_gateway(item, problems)
        if gateway is None:
            continue
        first = found.setdefault((gateway.id, gateway.type), gateway)
        if first is not gateway:
            what = f"Gateway '{gateway.id}' of type '{gateway.type}' is declared twice"
            problems.add(what, gateway.at, why=f"first at {first.at}; only one could be reached")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Options:
    """What the options of a gateway's type say."""

    topics: Mapping[str, Node]
    agent: Node | None = None
    headers: tuple[Header, ...] = ()


def _read_gateway(node: Node, problems: Problems) -> Gateway | None:
    reader = Reader(node, "a gateway", _KEYS, problems, at=node.at)
    gateway = reader.required_text("id", "Gateway id is required")
    reader.required("type", "Gateway type is required")
    kind = reader.choice("type", _TYPES, "a gateway's type cannot be '{value}'")
    authentication = _read_authentication(reader.mapping("authentication"), problems)
    parameters = _read_parameters(reader, problems)
    if gateway is None or kind is None:
        return None
    _refuse_other_options(reader, kind, problems)
    options = _read_options(reader, kind, problems)
    return Gateway(
        id=gateway,
        type=kind,
        topics=options.topics,
        agent=options.agent,
        parameters=parameters,
        headers=options.headers,
        authentication=authentication,
        events_topic=reader.scalar("events-topic"),
        at=node.at,
    )


def _read_parameters(reader: Reader, problems: Problems) -> tuple[str, ...]:
    found = []
    for item in reader.list("parameters"):
        if isinstance(item.value, dict | tuple | None):
            problems.add("a gateway's parameter must be a name", item.at)
        else:
            found.append(item.raw)
    return tuple(found)


def _refuse_other_options(reader: Reader, kind: GatewayType, problems: Problems) -> None:
    for other, keys in _OPTIONS.items():
        found = reader.get(*keys) if other != kind else None
        if found:
            problems.add(f"Gateway of type '{kind}' cannot have {keys[-1]}", found.at)


def _read_options(reader: Reader, kind: GatewayType, problems: Problems) -> _Options:
    if kind in ("chat", "service"):
        topic = reader.get("topic")
        if topic:
            why = "its topics stand in " + f"{kind}-options"
            problems.add(f"Gateway of type '{kind}' cannot have topic", topic.at, why=why)
        return (_read_chat if kind == "chat" else _read_service)(reader, problems)
    topic = reader.checked_scalar(
        "topic", reader.required("topic", f"Gateway of type '{kind}' must have topic")
    )
    headers = (_produce_headers if kind == "produce" else _consume_headers)(reader, problems)
    return _Options({"topic": topic} if topic else {}, headers=headers)


def _produce_headers(reader: Reader, problems: Problems) -> tuple[Header, ...]:
    node = reader.mapping(*_OPTIONS["produce"])
    if node is None:
        return ()
    return _read_headers(Reader(node, "produce-options", ("headers",), problems, at=node.at), problems)


def _consume_headers(reader: Reader, problems: Problems) -> tuple[Header, ...]:
    node = reader.mapping(*_OPTIONS["consume"])
    if node is None:
        return ()
    filters = Reader(node, "consume-options", ("filters",), problems, at=node.at).mapping("filters")
    if filters is None:
        return ()
    inner = Reader(filters, "filters", ("headers",), problems, at=filters.at)
    return _read_headers(inner, problems, blank="cannot be blank for filter")


def _read_chat(reader: Reader, problems: Problems) -> _Options:
    node = reader.mapping("chat-options")
    if node is None:
        problems.add("Gateway of type 'chat' must have chat-options", reader.at)
        return _Options({})
    inner = Reader(
        node, "chat-options", ("questions-topic", "answers-topic", "headers"), problems, at=node.at
    )
    topics = _needed_topics(inner, "chat", ("questions-topic", "answers-topic"))
    return _Options(topics, headers=_read_headers(inner, problems, blank="cannot be blank"))


def _read_service(reader: Reader, problems: Problems) -> _Options:
    node = reader.mapping("service-options")
    if node is None:
        problems.add("Gateway of type 'service' must have service-options", reader.at)
        return _Options({})
    roles = ("input-topic", "output-topic")
    inner = Reader(node, "service-options", ("agent-id", *roles, "headers"), problems, at=node.at)
    headers = _read_headers(inner, problems)
    agent = inner.scalar("agent-id")
    if agent is None:
        return _Options(_needed_topics(inner, "service", roles), headers=headers)
    for role in roles:
        found = inner.get(role)
        if found:
            problems.add(f"service-options has agent-id and cannot have {role} too", found.at)
    return _Options({}, agent, headers)


def _needed_topics(reader: Reader, kind: str, roles: tuple[str, ...]) -> dict[str, Node]:
    found = {}
    for role in roles:
        message = f"Gateway of type '{kind}' must have {kind}-options.{role}"
        topic = reader.checked_scalar(role, reader.required(role, message))
        if topic:
            found[role] = topic
    return found


_ORIGINS = (
    ("value",),
    ("valueFromParameters", "value-from-parameters"),
    ("valueFromAuthentication", "value-from-authentication"),
)
HEADER_KEYS = ("key", *(key for keys in _ORIGINS for key in keys))


def _read_headers(reader: Reader, problems: Problems, *, blank: str | None = None) -> tuple[Header, ...]:
    found = (_read_header(node, problems, blank) for node in reader.list("headers"))
    return tuple(header for header in found if header)


def _read_header(node: Node, problems: Problems, blank: str | None) -> Header | None:
    """One entry. `blank` is what a message says of an empty one; None allows it."""
    reader = Reader(node, "a header", HEADER_KEYS, problems, at=node.at)
    given = [(keys[-1], found) for keys in _ORIGINS if (found := reader.scalar(*keys))]
    if not given:
        problems.add(
            "Must specify one of value, value-from-parameters, or value-from-authentication", node.at
        )
        return None
    if len(given) > 1:
        problems.add(f"Cannot specify both {given[0][0]} and {given[1][0]}", given[1][1].at)
        return None
    origin, value = given[0]
    if blank and not value.raw.strip():
        problems.add(f"{origin} {blank}", value.at)
    texts = [value.raw if origin == keys[-1] else None for keys in _ORIGINS]
    return Header(reader.text("key") or value.raw, *texts)


def _read_authentication(node: Node | None, problems: Problems) -> Authentication | None:
    if node is None:
        return None
    keys = ("provider", "configuration", "allow-test-mode")
    reader = Reader(node, "authentication", keys, problems, at=node.at)
    provider = reader.required_text("provider")
    configuration = reader.mapping("configuration")
    test_mode = reader.boolean("allow-test-mode")
    if provider is None:
        return None
    if provider not in PROVIDERS:
        why = f"there are {', '.join(PROVIDERS)}"
        at, hint = (reader.get("provider") or node).at, did_you_mean(provider, PROVIDERS)
        problems.add(f"the authentication provider '{provider}' is not known", at, why=why, hint=hint)
    needed = _NEEDED.get(provider)
    if needed and needed not in (configuration.entries if configuration else {}):
        problems.add(f"the authentication provider '{provider}' needs '{needed}'", (configuration or node).at)
    return Authentication(provider, configuration, test_mode is not False, node.at)
