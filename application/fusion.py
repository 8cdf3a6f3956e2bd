"""Which agents run together: the units of a pipeline.

Used by the planner. Neighbours share a unit if nothing separates them; the first thing that does is
the reason that the plan prints. Behind a source the plan always breaks, unless the source says
`composable: true`, so that what follows can scale to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..functions.unit import ErrorsSpec
from .wiring import Wired


@dataclass(frozen=True, slots=True)
class Group:
    """The agents of a unit and why it begins with the first of them."""

    agents: tuple[Wired, ...]
    why: str


def fuse(pipeline: Sequence[Wired]) -> list[Group]:
    """The units of a pipeline, in order."""
    groups: list[Group] = []
    for position, wired in enumerate(pipeline):
        before = pipeline[position - 1] if position else None
        reason = separation(before, wired)
        if reason is None:
            groups[-1] = Group((*groups[-1].agents, wired), groups[-1].why)
        else:
            groups.append(Group((wired,), reason))
    return groups


def separation(before: Wired | None, wired: Wired) -> str | None:
    """Why two neighbours cannot share a unit, or None when they can."""
    if before is None:
        return f"it is the first agent of the pipeline '{wired.pipeline.id}'"
    if not wired.follows:
        return _by_topic(before, wired)
    return _by_type(before, wired) or _by_settings(before, wired)


def _by_topic(before: Wired, wired: Wired) -> str:
    if wired.agent.input:
        return f"it reads the topic '{wired.input}' by name"
    if before.output:
        return f"'{before.agent.id}' before it writes the topic '{before.output}'"
    return f"'{before.agent.id}' before it passes nothing on"


def _by_type(before: Wired, wired: Wired) -> str | None:
    for one in (before, wired):
        if one.kind == "service":
            return f"'{one.agent.id}' is a service"
        if one.composable == "false":
            return f"'{one.agent.id}' says composable: false"
        if one.declared and not one.declared.composable:
            return f"the type '{one.type}' runs alone"
    if before.kind == "source" and before.composable != "true":
        return f"'{before.agent.id}' before it is a source, and what follows can scale to zero"
    return None


def _by_settings(before: Wired, wired: Wired) -> str | None:
    for name in ("parallelism", "size", "scale"):
        if getattr(before.resources, name) != getattr(wired.resources, name):
            return f"its {name} differs from that of '{before.agent.id}'"
    if before.errors != wired.errors:
        own, other = _policy(wired.errors), _policy(before.errors)
        return f"its errors ({own}) differ from those of '{before.agent.id}' ({other})"
    return None


def _policy(errors: ErrorsSpec) -> str:
    return f"{errors.on_failure}, {errors.retries} retries"
