"""The resources of an application, resolved once and checked when something uses them.

Used by the planner for agents and assets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import Position
from ..functions.placeholders import is_symbolic
from ..functions.unit import ResourceSpec
from .catalogue import AI_TYPES, DATABASE_TYPES, RESOURCE_TYPES, SERVICES, model
from .files import CONFIGURATION
from .model import Application, Resource
from .problems import Problems, did_you_mean, listed
from .resolving import Resolver
from .validation import check, without_nulls


class ResourceTable:
    """Resources by id."""

    def __init__(self, application: Application, resolver: Resolver, problems: Problems) -> None:
        self._problems = problems
        self._declared = application.resources
        self._complete = CONFIGURATION not in application.unread
        self._checked: set[str] = set()
        self.specs: Mapping[str, ResourceSpec] = {
            name: _spec(resource, resolver) for name, resource in application.resources.items()
        }

    def use(self, name: object, at: Position, user: str, fitting: Iterable[str] = ()) -> ResourceSpec | None:
        """The resource that `user` names, checked. `fitting` are the types it may have; none: any."""
        if not isinstance(name, str) or is_symbolic(name):
            return None
        if name not in self.specs:
            self._undeclared(name, at, user)
            return None
        self.check(name)
        spec, fitting = self.specs[name], tuple(fitting)
        if fitting and spec.type not in fitting and spec.type in RESOURCE_TYPES:
            why = f"it has the type {spec.type}; a {listed(fitting)} is needed"
            self._problems.add(f"Resource with id={name} does not fit, declared as {user}", at, why=why)
        return spec

    def check(self, name: str) -> None:
        """Adds the problems of a resource's own configuration, once."""
        if name in self._checked:
            return
        self._checked.add(name)
        declared, spec = self._declared[name], self.specs[name]
        subject = f"resource configuration (resource: '{spec.name or name}', type: '{spec.type}')"
        if spec.type in AI_TYPES:
            wanted = model(AI_TYPES[spec.type])
            check(wanted, spec.configuration, declared.configuration, subject, self._problems)
        elif spec.type in DATABASE_TYPES:
            self._check_database(declared, spec.configuration, subject)
        else:
            why = f"there are {listed(RESOURCE_TYPES)}"
            message = f"Unknown resource type '{spec.type}'"
            hint = did_you_mean(spec.type, RESOURCE_TYPES)
            self._problems.add(message, declared.type.at, why=why, hint=hint)

    def of_types(self, types: Iterable[str]) -> dict[str, ResourceSpec]:
        wanted = tuple(types)
        return {name: spec for name, spec in self.specs.items() if spec.type in wanted}

    def _undeclared(self, name: str, at: Position, user: str) -> None:
        if self._complete:
            why = f"configuration.yaml declares {listed(sorted(self.specs))}"
            hint = did_you_mean(name, self.specs)
            self._problems.add(
                f"Resource with id={name} not found, declared as {user}", at, why=why, hint=hint
            )

    def _check_database(self, declared: Resource, configuration: dict[str, Any], subject: str) -> None:
        service = configuration.get("service")
        if is_symbolic(service):
            return
        if isinstance(service, str) and service in SERVICES:
            check(model(SERVICES[service]), configuration, declared.configuration, subject, self._problems)
            return
        stated = declared.configuration.entries.get("service")
        message = f"Found error on {subject}. service must be set to one of: {listed(SERVICES)}"
        hint = did_you_mean(str(service), SERVICES) if service else None
        self._problems.add(message, (stated or declared.configuration).at, hint=hint)


def _spec(resource: Resource, resolver: Resolver) -> ResourceSpec:
    configuration = without_nulls(resolver.value(resource.configuration))
    return ResourceSpec(
        id=resource.id, type=resource.type.raw, name=resource.name, configuration=configuration
    )
