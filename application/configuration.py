"""configuration.yaml: resources, dependencies and default globals; and archetype.yaml.

Called by the loader. A resource's own configuration is checked by the planner, and only when
something uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import Dependency, Resource
from .problems import Problems
from .reading import Reader
from .yaml import Node

DEPENDENCY_TYPES = ("java-library",)
_ARCHETYPE = ("id", "title", "labels", "description", "icon", "sections")
_PARAMETER = ("name", "label", "description", "type", "subtype", "binding", "required", "default")


@dataclass(frozen=True, slots=True)
class Configuration:
    resources: dict[str, Resource] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()
    globals: Node | None = None


def read_configuration(node: Node, problems: Problems) -> Configuration:
    root = Reader(node, "configuration.yaml", ("configuration",), problems, at=node.at)
    inner = root.required("configuration", "configuration entry is not present in configuration.yaml")
    if inner is None:
        return Configuration()
    reader = Reader(inner, "configuration", ("resources", "dependencies", "defaults"), problems, at=inner.at)
    return Configuration(
        _read_resources(reader.list("resources"), problems),
        tuple(found for item in reader.list("dependencies") if (found := _read_dependency(item, problems))),
        _read_defaults(reader.mapping("defaults"), problems),
    )


def _read_defaults(node: Node | None, problems: Problems) -> Node | None:
    if node is None:
        return None
    return Reader(node, "defaults", ("globals",), problems, at=node.at).mapping("globals")


def _read_resources(nodes: tuple[Node, ...], problems: Problems) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for node in nodes:
        resource = _read_resource(node, problems)
        if resource and resource.id in found:
            first = found[resource.id].at
            problems.add(f"Resource {resource.id} is declared twice", resource.at, why=f"first at {first}")
        elif resource:
            found[resource.id] = resource
    return found


def _read_resource(node: Node, problems: Problems) -> Resource | None:
    reader = Reader(node, "a resource", ("type", "name", "id", "configuration"), problems, at=node.at)
    kind = reader.checked_scalar("type", reader.required("type"))
    name = reader.text("name")
    resource = reader.text("id") or name
    configuration = reader.mapping("configuration") or Node({}, node.at)
    if not resource:
        problems.add("Resource 'name' or 'id' is required", node.at)
    if not resource or kind is None:
        return None
    return Resource(resource, kind, name, configuration, node.at)


def _read_dependency(node: Node, problems: Problems) -> Dependency | None:
    reader = Reader(node, "a dependency", ("name", "url", "sha512sum", "type"), problems, at=node.at)
    name, url = reader.required_text("name"), reader.required_text("url")
    digest, kind = reader.required_text("sha512sum"), reader.required_text("type")
    if kind is not None and kind not in DEPENDENCY_TYPES:
        at = (reader.get("type") or node).at
        problems.add(f"Unsupported type '{kind}' of a dependency", at, why="only java-library is known")
    if not (name and url and digest and kind):
        return None
    return Dependency(name, url, digest, kind)


def check_archetype(node: Node, problems: Problems) -> None:
    """archetype.yaml means nothing to a running application, but a wrong one is still wrong."""
    root = Reader(node, "archetype.yaml", ("archetype",), problems, at=node.at)
    inner = root.required("archetype")
    if inner is None:
        return
    reader = Reader(inner, "archetype", _ARCHETYPE, problems, at=inner.at)
    for item in reader.list("sections"):
        section = Reader(item, "a section", ("title", "description", "parameters"), problems, at=item.at)
        for entry in section.list("parameters"):
            parameter = Reader(entry, "a parameter", _PARAMETER, problems, at=entry.at)
            _check_binding(parameter.scalar("binding"), problems)


def _check_binding(binding: Node | None, problems: Problems) -> None:
    if binding is None:
        return
    steps = binding.raw.split(".")
    shapes = {"globals": len(steps) > 1, "secrets": len(steps) == 3}
    if not shapes.get(steps[0], False):
        why = "it is globals.<path> or secrets.<id>.<key>"
        problems.add(f"Invalid binding '{binding.raw}'", binding.at, why=why)
