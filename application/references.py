"""What agents name in their configurations: topics and resources.

Used by the planner. A declaration says which keys hold such names, as paths like
`routes[].destination`; here they are found, checked and, for resources, gathered for the unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import Position
from ..functions.placeholders import is_symbolic
from ..functions.registry import config_model
from ..functions.unit import ResourceSpec
from .catalogue import AI_TYPES
from .problems import Problems
from .resources import ResourceTable
from .topics import Topics
from .validation import check
from .wiring import Wired
from .yaml import Node


def check_agent(wired: Wired, topics: Topics, table: ResourceTable, problems: Problems) -> None:
    """Adds the problems of an agent's configuration, and of the topics that it names."""
    agent, declared = wired.agent, wired.declared
    if declared is None:
        return
    subject = f"agent configuration (agent: '{agent.label}', type: '{agent.type.raw}')"
    service = service_of(wired, table.specs)
    if not (declared.variants and is_symbolic(service)):
        model = config_model(declared, service)
        check(model, wired.configuration, agent.configuration, subject, problems)
    for path in declared.topic_fields:
        for name, at in _named(wired, path):
            topics.check_declared(name, wired.pipeline.module, at)


def service_of(wired: Wired, specs: Mapping[str, ResourceSpec]) -> object:
    """The `service` of the datasource that an agent names."""
    named = wired.configuration.get("datasource")
    spec = specs.get(named) if isinstance(named, str) else None
    return spec.configuration.get("service") if spec else None


def resources_of(wired: Wired, table: ResourceTable) -> dict[str, ResourceSpec]:
    """The resources that an agent needs: checked, unless they are only handed to user code."""
    found: dict[str, ResourceSpec] = {}
    declared = wired.declared
    if declared is None:
        return found
    for path, types in declared.resource_fields.items():
        for name, at in _named(wired, path):
            used = table.use(name, at, f"{path} in agent {wired.agent.label}", types)
            if used:
                found[used.id] = used
    if declared.uses_ai and not any(spec.type in AI_TYPES for spec in found.values()):
        found |= table.of_types(AI_TYPES)
    for name in found:
        table.check(name)
    return {**table.specs} if runs_user_code(wired) else found


def runs_user_code(wired: Wired) -> bool:
    """User classes are given all resources and globals of the application."""
    return wired.type.startswith("python-")


def named_topics(wired: Wired) -> list[str]:
    """The topics that an agent's configuration names."""
    paths = wired.declared.topic_fields if wired.declared else ()
    return [name for path in paths for name, _ in _named(wired, path)]


def named_resources(wired: Wired) -> list[str]:
    """The resources that an agent's configuration names."""
    paths = wired.declared.resource_fields if wired.declared else {}
    return [name for path in paths for name, _ in _named(wired, path)]


def _named(wired: Wired, path: str) -> Iterator[tuple[str, Position]]:
    """The names at a path of an agent's configuration, with their positions."""
    steps = path.replace("[]", ".[]").split(".")
    for value, at in _values(wired.configuration, wired.agent.configuration, steps):
        if isinstance(value, str) and value and not is_symbolic(value):
            yield value, at


def _values(value: Any, node: Node, steps: Sequence[str]) -> Iterator[tuple[Any, Position]]:
    # A placeholder may stand for a whole list; then its values have the position of the placeholder.
    if not steps:
        yield value, node.at
    elif steps[0] == "[]" and isinstance(value, list):
        for index, item in enumerate(value):
            inner = node.items[index] if index < len(node.items) else node
            yield from _values(item, inner, steps[1:])
    elif isinstance(value, dict) and steps[0] in value:
        yield from _values(value[steps[0]], node.entries.get(steps[0], node), steps[1:])
