"""Agents with everything decided that concerns them alone: kind, connections, policy, configuration.

Used by the planner before fusion, and by the mermaid drawing. An agent without `input` continues
the one before it: by that one's output topic, or directly (`follows`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import NotFound, Position
from ..functions.api import Declaration
from ..functions.registry import AGENTS, declaration
from ..functions.unit import ErrorsSpec, Kind, ResourcesSpec
from .inheritance import effective_errors, effective_resources
from .model import Agent, Application, Pipeline
from .problems import Problems, did_you_mean
from .resolving import Resolver
from .topics import Topics
from .validation import without_nulls


@dataclass(frozen=True, slots=True)
class Wired:
    """An agent in its pipeline. `input` and `output` are topics; `follows`: it takes the results of
    the agent before it directly. `kind` is None for an unknown type."""

    agent: Agent
    pipeline: Pipeline
    declared: Declaration | None
    configuration: dict[str, Any]
    input: str | None
    output: str | None
    follows: bool
    errors: ErrorsSpec
    resources: ResourcesSpec

    @property
    def kind(self) -> Kind | None:
        return self.declared.kind if self.declared else None

    @property
    def type(self) -> str:
        """The type, without its older names."""
        return self.declared.type if self.declared else self.agent.type.raw

    @property
    def composable(self) -> str:
        """What the configuration says of it: "true", "false" or nothing."""
        return str(self.configuration.get("composable", "")).lower()


def wire(
    application: Application, topics: Topics, resolver: Resolver, problems: Problems
) -> list[list[Wired]]:
    """The agents of every pipeline, in order."""
    wirer = _Wirer(topics, resolver, problems)
    return [wirer.pipeline(pipeline) for pipeline in application.pipelines]


class _Wirer:
    def __init__(self, topics: Topics, resolver: Resolver, problems: Problems) -> None:
        self.topics, self.resolver, self.problems = topics, resolver, problems

    def pipeline(self, pipeline: Pipeline) -> list[Wired]:
        wired: list[Wired] = []
        for agent in pipeline.agents:
            wired.append(self.agent(agent, pipeline, wired[-1] if wired else None))
        return wired

    def agent(self, agent: Agent, pipeline: Pipeline, before: Wired | None) -> Wired:
        stated, output = self.topic(agent, pipeline, "input"), self.topic(agent, pipeline, "output")
        inherited = before.output if before and stated is None else None
        declared = self.declaration(agent)
        kind = declared.kind if declared else None
        continues = before is not None and stated is None and inherited is None
        configuration = self.configuration(agent, declared)
        disk = declared is not None and declared.wants_disk(configuration)
        wired = Wired(
            agent=agent,
            pipeline=pipeline,
            declared=declared,
            configuration=configuration,
            input=stated or inherited,
            output=output,
            follows=continues and not _starts_afresh(kind, before),
            errors=effective_errors(agent.errors, pipeline.errors),
            resources=effective_resources(agent, pipeline, self.problems, disk=disk),
        )
        self.check_link(wired, before, stated)
        self.check_kind(wired)
        return wired

    def topic(self, agent: Agent, pipeline: Pipeline, role: str) -> str | None:
        node = agent.input if role == "input" else agent.output
        if node is None:
            return None
        name = self.resolver.text(node)
        self.topics.check_declared(name, pipeline.module, node.at)
        return name

    def declaration(self, agent: Agent) -> Declaration | None:
        try:
            return declaration(agent.type.raw)
        except NotFound:
            what = f"Unknown agent type '{agent.type.raw}'"
            hint = did_you_mean(agent.type.raw, AGENTS)
            self.problems.add(what, agent.type.at, why=f"agent '{agent.label}' has it", hint=hint)
            return None

    def configuration(self, agent: Agent, declared: Declaration | None) -> dict[str, Any]:
        resolved: dict[str, Any] = self.resolver.value(agent.configuration)
        # User code is told what was written; for other agents a null is nothing.
        keeps_nulls = declared is not None and declared.config.model_config.get("extra") == "allow"
        return resolved if keeps_nulls else without_nulls(resolved)

    def check_link(self, wired: Wired, before: Wired | None, stated: str | None) -> None:
        """Faults of the connection to the agent before."""
        if before is None or before.output is not None:
            return
        if stated is not None and before.kind in ("source", "processor"):
            what = f"Invalid agent configuration for ({before.agent.id}), missing output"
            why = f"the next agent, '{wired.agent.label}', names its own input, so nothing reads the results"
            self.problems.add(what, before.agent.at, why=why)
        if wired.follows and before.kind in ("sink", "service"):
            what = f"Agent '{wired.agent.label}' has no input"
            why = f"the agent before it, '{before.agent.label}', is a {before.kind} and passes nothing on"
            self.problems.add(what, wired.agent.at, why=why, hint="give it an 'input'")

    def check_kind(self, wired: Wired) -> None:
        """Faults of a source, sink or service that is used as something else."""
        kind, agent = wired.kind, wired.agent
        if kind == "service":
            title = f"Service agents ({agent.type.raw})"
            self.refuse(
                wired.input is not None or wired.follows, f"{title} cannot have an input", agent.input, agent
            )
            self.refuse(wired.output is not None, f"{title} cannot have an output", agent.output, agent)
            retries = agent.errors.at or wired.pipeline.errors.at or agent.at
            if wired.errors.retries:
                self.problems.add(f"{title} cannot have retries", retries)
        if kind == "source" and wired.follows:
            what = f"Cannot merge two sources: '{agent.label}' follows another agent"
            self.problems.add(what, agent.at, hint="put it first in a pipeline of its own")
        elif kind == "source":
            title = f"Source agents ({agent.type.raw})"
            self.refuse(wired.input is not None, f"{title} cannot have an input", agent.input, agent)
        if kind == "sink":
            title = f"Sink agents ({agent.type.raw})"
            self.refuse(wired.output is not None, f"{title} cannot have an output", agent.output, agent)

    def refuse(self, wrong: bool, what: str, node: Any, agent: Agent) -> None:
        if wrong:
            at: Position = node.at if node else agent.at
            self.problems.add(what, at, why=f"agent '{agent.label}' is given one")


def _starts_afresh(kind: Kind | None, before: Wired | None) -> bool:
    """A source or service after something that passes nothing on needs no input."""
    return kind in ("source", "service") and before is not None and before.kind in ("sink", "service")
