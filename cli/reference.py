"""The reference pages, made from the declarations: a page per agent type, an index, a schema per file.

Used by `tidemill agent describe`, and by `python -m tidemill.cli.reference FOLDER`, which writes the
pages below docs/. A test compares them with what lies there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..application.schema import file_schemas
from ..functions.agents.data._datasource import SERVICES as REACHABLE
from ..functions.api import Declaration
from ..functions.registry import AGENTS, config_model, declaration

TESTED = {
    "real": "against the real thing",
    "stand-in": "against a stand-in that speaks the published protocol",
    "plan only": "planned only",
}


def declarations() -> list[Declaration]:
    """Every agent type once, by name."""
    found = {declaration(name).type: declaration(name) for name in AGENTS}
    return [found[name] for name in sorted(found)]


def aliases(found: Declaration) -> list[str]:
    return sorted(found.aliases)


def pages() -> dict[str, str]:
    """path below docs/ -> content."""
    written = {f"agents/{found.type}.md": page(found) for found in declarations()}
    written["agents/README.md"] = _index()
    for name, schema in file_schemas().items():
        written[f"schemas/{name}.schema.json"] = json.dumps(schema, indent=1) + "\n"
    return written


def page(found: Declaration) -> str:
    """What there is to know of one agent type, as Markdown."""
    return "\n".join([*_title(found), *_facts(found), *_properties(found), *_example(found)]) + "\n"


def example(found: Declaration) -> dict[str, Any]:
    """The declared example as an application: files by name, which plan as they are."""
    agent: dict[str, Any] = {"type": found.type}
    topics = [name for name, used in (("input", _reads(found)), ("output", _writes(found))) if used]
    agent |= {name: f"{name}-topic" for name in topics}
    if found.example.configuration:
        agent["configuration"] = dict(found.example.configuration)
    named = [f"{name}-topic" for name in topics] + _named_topics(found)
    pipeline: dict[str, Any] = {"pipeline": [agent]}
    if named:
        declared = [{"name": name, "creation-mode": "create-if-not-exists"} for name in named]
        pipeline = {"topics": declared, **pipeline}
    files = {"pipeline.yaml": pipeline}
    if found.example.resources:
        resources = [
            {"type": spec.type, "id": spec.id, "configuration": dict(spec.configuration)}
            for spec in found.example.resources
        ]
        files["configuration.yaml"] = {"configuration": {"resources": resources}}
    return files


def _reads(found: Declaration) -> bool:
    return found.kind in ("processor", "sink")


def _writes(found: Declaration) -> bool:
    return found.kind in ("processor", "source")


def _named_topics(found: Declaration) -> list[str]:
    """The topics that the example's configuration names."""
    names: list[str] = []
    for path in found.topic_fields:
        values: list[Any] = [found.example.configuration]
        for step in path.split("."):
            values = [value[step.removesuffix("[]")] for value in values if step.removesuffix("[]") in value]
            if step.endswith("[]"):
                values = [item for value in values for item in value]
        names += values
    return list(dict.fromkeys(names))


def properties(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, type, "required" or the default) of every key, those of inner lists and maps after them."""
    for name, field in model.model_fields.items():
        shown = f"{prefix}{field.alias or name}"
        yield shown, _type(field.annotation), _default(field)
        inner, many = _inner(field.annotation)
        if inner is not None:
            yield from properties(inner, f"{shown}{'[]' if many else ''}.")


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside an annotation, and whether there is a list of them."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return (annotation, False) if issubclass(annotation, BaseModel) else (None, False)
    many = get_origin(annotation) in (tuple, list)
    for part in get_args(annotation):
        inner, deeper = _inner(part)
        if inner is not None:
            return inner, many or deeper
    return None, many


_SIMPLE = {"str": "text", "int": "integer", "float": "number", "bool": "boolean", "dict": "map"}


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:  # a check of the value; readers want its type
        return _type(get_args(annotation)[0])
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if origin in (tuple, list):
        return f"list of {_plural(_type(parts[0]))}"
    if origin is dict:
        return "map"
    if parts and all(isinstance(part, str) for part in parts):
        return " or ".join(f"`{part}`" for part in parts)
    if parts:
        return " or ".join(dict.fromkeys(_type(part) for part in parts if part is not Ellipsis))
    name = getattr(annotation, "__name__", "any")
    return (
        "map"
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        else _SIMPLE.get(name, "any")
    )


def _plural(word: str) -> str:
    return word if word == "text" else f"{word}s"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    return f"`{json.dumps(value)}`"


# --- the parts of a page ---------------------------------------------------------------------------


def _title(found: Declaration) -> Sequence[str]:
    return (f"# {found.type}", "", found.summary)


def _facts(found: Declaration) -> Iterator[str]:
    facts = {
        "kind": found.kind,
        "also called": ", ".join(f"`{name}`" for name in aliases(found)),
        "shares a unit with its neighbours": "yes" if found.composable else "no",
        "needs": f"`pip install 'tidemill[{found.extra}]'`" if found.extra else "",
        "tested": TESTED[found.tested],
        "run by": found.runs_on or "",
        "names topics in": ", ".join(f"`{path}`" for path in found.topic_fields),
        "names resources in": ", ".join(
            f"`{path}` ({' or '.join(types)})" for path, types in found.resource_fields.items()
        ),
    }
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in facts.items():
        if value:
            yield f"| {name} | {value} |"


def _properties(found: Declaration) -> Iterator[str]:
    yield ""
    yield "## Configuration"
    models: dict[type[BaseModel], list[str]] = {found.config: []}
    for service in sorted(found.variants):
        models.setdefault(config_model(found, service), []).append(service)
    for model, services in models.items():
        if services:
            yield ""
            reached = "" if set(services) <= set(REACHABLE) else ", which is planned only"
            yield f"### For the service {' or '.join(f'`{service}`' for service in services)}{reached}"
        yield from _table(model)


def _table(model: type[BaseModel]) -> Iterator[str]:
    if model.__doc__:
        yield ""
        yield " ".join(model.__doc__.split())
    yield ""
    yield "| property | type | default |"
    yield "|---|---|---|"
    for name, kind, default in properties(model):
        yield f"| `{name}` | {kind} | {default} |"
    if model.model_config.get("extra") == "allow":
        yield "| any other | any | |"


def _example(found: Declaration) -> Iterator[str]:
    yield ""
    yield "## Example"
    for name, content in example(found).items():
        yield ""
        yield f"`{name}`:"
        yield ""
        yield "```yaml"
        yield yaml.safe_dump(_plain(content), sort_keys=False, allow_unicode=True).rstrip()
        yield "```"
    if found.example.record is not None:
        yield ""
        yield f"For the value `{found.example.record.value}`" + _results(found)


def _results(found: Declaration) -> str:
    results = found.example.results
    if results is None:
        return "."
    if found.kind == "sink":
        return " it writes to the outside."
    return " it gives " + (" and ".join(f"`{record.value}`" for record in results) or "nothing") + "."


def _plain(value: Any) -> Any:
    """Maps and lists only, as YAML writes them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _index() -> str:
    lines = ["# Agent types", "", "| type | kind | tested | what it does |", "|---|---|---|---|"]
    for found in declarations():
        lines.append(
            f"| [`{found.type}`]({found.type}.md) | {found.kind} | {found.tested} | {found.summary} |"
        )
        lines += [f"| `{name}` | | | the same as `{found.type}` |" for name in aliases(found)]
    lines += ["", *(f"*{name}*: {meaning}." for name, meaning in TESTED.items())]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write all pages below a folder."""
    for name, content in pages().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
