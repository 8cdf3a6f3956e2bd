"""JSON Schema of each kind of file, for editors; made from the same models as the planner's checks.

Used by the documentation and `tidemill agent describe`. A schema is as lenient as the planner: a
placeholder may stand anywhere, "20" is a number and 20 is text. What depends on other files (topics,
resources) is checked by `tidemill plan` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

from ..functions.api import Declaration
from ..functions.registry import AGENTS, config_model, declaration
from ..functions.unit import OnFailure
from .catalogue import AI_TYPES, ASSET_TYPES, DATABASE_TYPES, SERVICES, model
from .configuration import DEPENDENCY_TYPES
from .gateways import HEADER_KEYS, PROVIDERS
from .instance import CLUSTERS
from .model import GatewayType
from .plan import CreationMode, DeletionMode

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLACEHOLDER: Schema = {"type": "string", "pattern": r"\$\{.*\}|\{\{.*\}\}"}
TEXT: Schema = {"type": ["string", "number", "boolean"]}
NUMBER: Schema = {"type": ["number", "string"]}
FLAG: Schema = {"type": ["boolean", "string"]}
MAP: Schema = {"type": ["object", "null"]}


def file_schemas() -> dict[str, Schema]:
    """kind of file -> its schema."""
    makers = {
        "pipeline": _pipeline,
        "configuration": _configuration,
        "gateways": _gateways,
        "instance": _instance,
        "secrets": _secrets,
    }
    return {
        name: {"$schema": DIALECT, "title": f"Tidemill: {name}", **make()} for name, make in makers.items()
    }


def agent_schema(found: Declaration) -> Schema:
    """The schema of one agent type's configuration, with all that it refers to."""
    shared: dict[str, Schema] = {}
    return {"$schema": DIALECT, **_agent_configuration(found, shared), "$defs": shared}


# --- models ----------------------------------------------------------------------------------------


def _of(wanted: type[BaseModel], shared: dict[str, Schema]) -> Schema:
    """A model's schema; the models inside it go to `shared`."""
    made = wanted.model_json_schema(ref_template="#/$defs/{model}")
    for name, inner in made.pop("$defs", {}).items():
        lenient = _lenient(inner, root=True)
        assert shared.setdefault(name, lenient) == lenient, f"two models are called {name}"
    found: Schema = _lenient(made, root=True)
    return found


def _lenient(node: Any, *, root: bool = False) -> Any:
    if isinstance(node, list):
        return [_lenient(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    made = {key: _lenient_at(key, value) for key, value in node.items() if key != "title" or kind is None}
    if kind in ("integer", "number", "boolean"):
        made["type"] = [kind, "string"]
    elif kind == "string" and not {"const", "enum"} & set(node):
        made["type"] = ["string", "number", "boolean"]
    if root or not (kind in ("array", "object") or {"const", "enum"} & set(node)):
        return made
    return {"anyOf": [made, PLACEHOLDER]}


def _lenient_at(key: str, value: Any) -> Any:
    """Names of properties are not keywords; defaults and lists of words stay as they are."""
    if key in ("properties", "$defs"):
        return {name: _lenient(inner) for name, inner in value.items()}
    return value if key in ("default", "enum", "required", "const", "description") else _lenient(value)


def _agent_configuration(found: Declaration, shared: dict[str, Schema]) -> Schema:
    """One schema, or a choice where it depends on the service of a datasource."""
    models = [found.config, *(config_model(found, service) for service in sorted(found.variants))]
    made = [_of(one, shared) for one in dict.fromkeys(models)]
    return made[0] if len(made) == 1 else {"anyOf": made}


def _by_type(types: Mapping[str, Schema], key: str, inside: str) -> list[Schema]:
    """If `key` says this type, then `inside` is like that."""
    return [
        {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"properties": {inside: schema}},
        }
        for name, schema in types.items()
    ]


# --- shapes of files -------------------------------------------------------------------------------


def _object(properties: Mapping[str, Schema], required: Sequence[str] = (), **more: Any) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {
        "type": ["object", "null"],
        "properties": dict(properties),
        "additionalProperties": False,
        **needed,
        **more,
    }


def _list(item: Schema) -> Schema:
    return {"type": ["array", "null"], "items": item}


def _words(words: Sequence[str]) -> Schema:
    return {"anyOf": [{"enum": list(words)}, {"type": "null"}]}


def _settings() -> dict[str, Schema]:
    scale = dict.fromkeys(("min", "max", "target", "concurrency"), NUMBER)
    scale |= {"metric": _words(("concurrency", "rps")), "window": TEXT, "delay": TEXT}
    disk = _object({"enabled": FLAG, "type": TEXT, "size": TEXT})
    return {
        "resources": _object({"parallelism": NUMBER, "size": NUMBER, "disk": disk, "scale": _object(scale)}),
        "errors": _object({"on-failure": _words(get_args(OnFailure)), "retries": NUMBER}),
    }


def _pipeline() -> Schema:
    shared: dict[str, Schema] = {}
    modes = {"creation-mode": _words(get_args(CreationMode)), "deletion-mode": _words(get_args(DeletionMode))}
    kind = _object({"type": _words(("string", "bytes", "avro")), "schema": TEXT, "name": TEXT}, ["type"])
    topic = {"name": TEXT, **modes, "partitions": NUMBER, "schema": kind, "keySchema": kind}
    named = {"id": TEXT, "name": TEXT}
    properties = {
        "module": TEXT,
        **named,
        "topics": _list(_object({**topic, "options": MAP, "config": MAP}, ["name"])),
        "assets": _list(_asset(named, modes, shared)),
        **_settings(),
        "pipeline": _list(_agent(named, shared)),
    }
    return {**_object(properties), "$defs": dict(sorted(shared.items()))}


def _asset(named: Mapping[str, Schema], modes: Mapping[str, Schema], shared: dict[str, Schema]) -> Schema:
    types = {name: _of(model(place), shared) for name, place in ASSET_TYPES.items()}
    properties = {**named, "asset-type": {"enum": sorted(types)}, **modes, "config": MAP}
    return _object(properties, ["asset-type"], allOf=_by_type(types, "asset-type", "config"))


def _agent(named: Mapping[str, Schema], shared: dict[str, Schema]) -> Schema:
    types = {name: _agent_configuration(declaration(name), shared) for name in AGENTS}
    properties = {
        "type": {"enum": sorted(types)},
        **named,
        "input": TEXT,
        "output": TEXT,
        "configuration": MAP,
        **_settings(),
    }
    return _object(properties, ["type"], allOf=_by_type(types, "type", "configuration"))


def _configuration() -> Schema:
    shared: dict[str, Schema] = {}
    services = {name: _of(model(place), shared) for name, place in sorted(SERVICES.items())}
    types = {name: _of(model(place), shared) for name, place in AI_TYPES.items()}
    types |= {name: {"$ref": "#/$defs/database"} for name in DATABASE_TYPES}
    shared["database"] = {"required": ["service"], "allOf": _by_service(services)}
    properties = {"type": {"enum": sorted(types)}, "id": TEXT, "name": TEXT, "configuration": MAP}
    resource = _object(properties, ["type"], allOf=_by_type(types, "type", "configuration"))
    dependency = dict.fromkeys(("name", "url", "sha512sum"), TEXT) | {"type": _words(DEPENDENCY_TYPES)}
    inner = {
        "resources": _list(resource),
        "dependencies": _list(_object(dependency, sorted(dependency))),
        "defaults": _object({"globals": MAP}),
    }
    return {**_object({"configuration": _object(inner)}, ["configuration"]), "$defs": shared}


def _by_service(services: Mapping[str, Schema]) -> list[Schema]:
    known = {"properties": {"service": {"anyOf": [{"enum": sorted(services)}, PLACEHOLDER]}}}
    return [
        known,
        *(
            {"if": {"properties": {"service": {"const": name}}, "required": ["service"]}, "then": schema}
            for name, schema in services.items()
        ),
    ]


def _gateways() -> Schema:
    headers = _list(_object(dict.fromkeys(HEADER_KEYS, TEXT)))
    produced, consumed = (
        _object({"headers": headers}),
        _object({"filters": _object({"headers": headers})}),
    )
    topics = dict.fromkeys(("questions-topic", "answers-topic"), TEXT)
    service = dict.fromkeys(("agent-id", "input-topic", "output-topic"), TEXT)
    authentication = _object(
        {"provider": _words(PROVIDERS), "configuration": MAP, "allow-test-mode": FLAG}, ["provider"]
    )
    properties = {
        "id": TEXT,
        "type": {"enum": list(get_args(GatewayType))},
        "topic": TEXT,
        "events-topic": TEXT,
        "parameters": _list(TEXT),
        "authentication": authentication,
        "produceOptions": produced,
        "produce-options": produced,
        "consumeOptions": consumed,
        "consume-options": consumed,
        "chat-options": _object({**topics, "headers": headers}, sorted(topics)),
        "service-options": _object({**service, "headers": headers}),
    }
    return _object({"gateways": _list(_object(properties, ["id", "type"]))})


def _instance() -> Schema:
    streaming = _object({"type": _words(CLUSTERS), "configuration": MAP}, ["type"])
    compute = _object({"type": _words(("kubernetes", "none")), "configuration": MAP})
    inner = _object({"streamingCluster": streaming, "computeCluster": compute, "globals": MAP})
    return _object({"instance": inner}, ["instance"])


def _secrets() -> Schema:
    secret = _object({"id": TEXT, "name": TEXT, "data": MAP}, ["id"])
    return _object({"secrets": _list(secret)}, ["secrets"])
