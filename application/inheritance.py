"""What an agent's `errors` and `resources` are when the pipeline's fill in what it leaves out.

Used by `wiring.py`. Field by field, also inside `disk` and `scale`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..functions.unit import DiskSpec, ErrorsSpec, ResourcesSpec, ScaleSpec
from .model import Agent, Errors, Pipeline, Resources, Scale
from .problems import Problems


def effective_errors(agent: Errors, pipeline: Errors) -> ErrorsSpec:
    return ErrorsSpec(**_stated(pipeline) | _stated(agent))


def effective_resources(
    agent: Agent, pipeline: Pipeline, problems: Problems, *, disk: bool = False
) -> ResourcesSpec:
    """`disk`: the agent has one even if nothing is said of it."""
    own, inherited = agent.resources, pipeline.resources
    volume = _stated(inherited.disk) | _stated(own.disk)
    numbers = {
        key: value
        for key, value in (_stated(inherited) | _stated(own)).items()
        if key in ("parallelism", "size")
    }
    return ResourcesSpec(
        **numbers,
        disk=DiskSpec(**volume) if volume.pop("enabled", disk) else None,
        scale=_effective_scale(own.scale, inherited, problems),
    )


def _effective_scale(own: Scale, inherited: Resources, problems: Problems) -> ScaleSpec:
    scale = ScaleSpec(**_stated(inherited.scale) | _stated(own))
    if 0 < scale.max < scale.min:
        why = "max 0 means that there is no bound" if own.at else None
        what = f"scale has min {scale.min} above max {scale.max}"
        problems.add(what, own.at or inherited.scale.at, why=why)
    return scale


def _stated(values: Any) -> dict[str, Any]:
    """The fields that are set, without positions."""
    stated = {entry.name: getattr(values, entry.name) for entry in fields(values) if entry.name != "at"}
    return {name: value for name, value in stated.items() if value is not None}
