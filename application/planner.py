"""Application → Plan: the one decision of what runs together, on every platform.

Called by `tidemill plan`, by `run` and by `deploy`. Deterministic: equal declarations give an equal
plan, in whichever files they stand. All problems of files and plan are raised together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..functions.unit import AgentSpec, DiskSpec, ResourceSpec, ResourcesSpec, UnitSpec
from .assets import plan_assets
from .fusion import Group, fuse
from .gateway_plan import plan_gateways
from .loader import read
from .model import Application, Instance, Secrets
from .plan import Plan, StreamingCluster, TriggerPlan, UnitPlan
from .problems import Problems
from .references import check_agent, resources_of, runs_user_code
from .resolving import Resolver
from .resources import ResourceTable
from .topics import Topics
from .wiring import Wired, wire


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with what its drawing and its reader need besides."""

    plan: Plan
    application: Application
    pipelines: tuple[tuple[Wired, ...], ...]
    problems: Problems


def plan_directory(
    directory: str | Path,
    *,
    instance: str | Path | None = None,
    secrets: str | Path | None = None,
    name: str | None = None,
    strict: bool = False,
) -> Plan:
    """The plan of the application in a folder. Raises ApplicationError with every problem."""
    return study(directory, instance=instance, secrets=secrets, name=name, strict=strict).plan


def study(
    directory: str | Path,
    *,
    instance: str | Path | None = None,
    secrets: str | Path | None = None,
    name: str | None = None,
    strict: bool = False,
    complete: bool = False,
) -> Planned:
    """As `plan_directory`, with the agents before fusion and the notes.

    `complete`: a file that is not given counts as empty, so that nothing can stay symbolic.
    """
    problems = Problems()
    application = read(directory, instance, secrets, name, problems)
    if complete:
        application = _completed(application)
    planned = _plan(application, problems, strict)
    problems.raise_if_any()
    return planned


def _completed(application: Application) -> Application:
    return replace(
        application,
        secrets=application.secrets or Secrets({}),
        instance=application.instance or Instance("embedded", None, "none", None),
    )


def plan(application: Application, *, strict: bool = False) -> Plan:
    """The plan of a loaded application. Raises ApplicationError with every problem."""
    problems = Problems()
    planned = _plan(application, problems, strict)
    problems.raise_if_any()
    return planned.plan


def _plan(application: Application, problems: Problems, strict: bool) -> Planned:
    resolver = Resolver(application, problems, strict=strict)
    topics = Topics(application, resolver, problems)
    table = ResourceTable(application, resolver, problems)
    pipelines = wire(application, topics, resolver, problems)
    for wired in (agent for pipeline in pipelines for agent in pipeline):
        check_agent(wired, topics, table, problems)
    builder = _UnitBuilder(application, topics, table, resolver)
    units = [unit for pipeline in pipelines for unit in builder.pipeline(pipeline)]
    planned = topics.planned()
    names = tuple(topic.name for topic in planned)
    found = Plan(
        application=application.id,
        units=tuple(_with_topics(unit, names) for unit in units),
        topics=planned,
        triggers=tuple(_trigger(unit.spec, unit.spec.input) for unit in units if unit.spec.input),
        gateways=plan_gateways(application, topics, resolver, units, problems),
        assets=plan_assets(application, resolver, table, problems),
        cluster=_cluster(application, resolver),
    )
    return Planned(found, application, tuple(map(tuple, pipelines)), problems)


class _UnitBuilder:
    def __init__(
        self, application: Application, topics: Topics, table: ResourceTable, resolver: Resolver
    ) -> None:
        self.application, self.topics, self.table = application, topics, table
        self.globals = resolver.globals()

    def pipeline(self, pipeline: Sequence[Wired]) -> list[UnitPlan]:
        """The units of a pipeline, with the topics between and behind them."""
        groups = fuse(pipeline)
        implicit = [self._implicit_input(group) for group in groups]
        return [
            self._unit(group, own, following)
            for group, own, following in zip(groups, implicit, [*implicit, None][1:], strict=True)
        ]

    def _implicit_input(self, group: Group) -> str | None:
        first = group.agents[0]
        if not first.follows:
            return None
        name = f"agent-{first.agent.id}-input"
        self.topics.add_implicit(name, first.agent.at)
        return name

    def _unit(self, group: Group, own: str | None, following: str | None) -> UnitPlan:
        first, last = group.agents[0], group.agents[-1]
        source = first.input or own
        sets_aside = source is not None and first.errors.on_failure == "dead-letter"
        spec = UnitSpec(
            application=self.application.id,
            id=first.agent.id,
            kind=first.kind or "processor",
            agents=tuple(map(_agent, group.agents)),
            input=source,
            output=last.output or following,
            dead_letter=self.topics.add_dead_letter(source) if source and sets_aside else None,
            errors=first.errors,
            resources=_resources(group.agents),
            services=self._services(group),
            globals=self.globals if any(map(runs_user_code, group.agents)) else {},
        )
        return UnitPlan(spec=spec, why=group.why)

    def _services(self, group: Group) -> dict[str, ResourceSpec]:
        used = [resources_of(wired, self.table) for wired in group.agents]
        return {name: spec for found in used for name, spec in found.items()}


def _agent(wired: Wired) -> AgentSpec:
    return AgentSpec(
        id=wired.agent.id,
        type=wired.type,
        configuration=wired.configuration,
        disk=wired.resources.disk is not None,
    )


def _resources(agents: Sequence[Wired]) -> ResourcesSpec:
    """Those of the first agent, with one volume that has room for the disks of all."""
    disks = [wired.resources.disk for wired in agents if wired.resources.disk]
    whole = DiskSpec(type=disks[0].type, size=sum(disk.size for disk in disks)) if disks else None
    return msgspec.structs.replace(agents[0].resources, disk=whole)


def _with_topics(unit: UnitPlan, names: tuple[str, ...]) -> UnitPlan:
    spec = msgspec.structs.replace(unit.spec, topics=names)
    return msgspec.structs.replace(unit, spec=spec)


def _trigger(unit: UnitSpec, topic: str) -> TriggerPlan:
    return TriggerPlan(
        name=unit.id,
        unit=unit.id,
        topic=topic,
        on_failure=unit.errors.on_failure,
        retries=unit.errors.retries,
        dead_letter=unit.dead_letter,
    )


def _cluster(application: Application, resolver: Resolver) -> StreamingCluster:
    instance = application.instance
    if instance is None:
        return StreamingCluster()
    configuration = resolver.value(instance.configuration) if instance.configuration else {}
    return StreamingCluster(type=instance.cluster, configuration=configuration)
