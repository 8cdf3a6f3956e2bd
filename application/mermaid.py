"""An application as a mermaid flowchart, in LangStream's form.

Used by `tidemill plan -o mermaid`. Draws the agents as they are declared, before fusion, with their
topics, resources and gateways; and only names, never configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .catalogue import AI_TYPES, DATABASE_TYPES
from .model import Application
from .plan import GatewayPlan
from .planner import Planned
from .references import named_resources, named_topics
from .wiring import Wired

_INPUT, _FINAL, _INNER = "#82E0AA", "#F4D03F", "#5DADE2"


@dataclass(slots=True)
class _Edges:
    """Edges with their colours; mermaid styles them by number."""

    lines: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)

    def add(self, start: str, arrow: str, end: str, colour: str | None = None) -> None:
        if colour:
            self.styles.append(f"linkStyle {len(self.lines)} stroke:{colour}")
        self.lines.append(f"{start} {arrow} {end}")


def mermaid(planned: Planned) -> str:
    """The text of the flowchart."""
    gateways, edges = planned.plan.gateways, _Edges()
    agents = [agent for pipeline in planned.pipelines for agent in pipeline]
    for agent, following in _with_followers(planned.pipelines):
        _agent_edges(agent, following, planned.application, edges)
    for gateway in gateways:
        _gateway_edges(gateway, edges)
    if gateways:
        edges.add("external-client", "-->", "gateways")
    blocks = [
        ["flowchart LR"],
        ["external-client((Client))"] if gateways else [],
        list(_outside(agents, edges)),
        _subgraph("resources", "Resources", _resources(planned.application)),
        _subgraph("streaming-cluster", "Topics", _topics(planned)),
        _subgraph("gateways", "Gateways", (_node("gateway", each.id, '[/"', '"\\]') for each in gateways)),
        *map(_pipeline, planned.pipelines),
        edges.lines,
        edges.styles,
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _identity(kind: str, name: str) -> str:
    return f"{kind}-{name}".lower().replace(" ", "___")


def _node(kind: str, name: str, opening: str, closing: str, label: str | None = None) -> str:
    shown = (label or name).replace('"', "#quot;")
    return f"{_identity(kind, name)}{opening}{shown}{closing}"


def _subgraph(identity: str, title: str, lines: Iterable[str]) -> list[str]:
    inner = list(lines)
    return [f'subgraph {identity}["{title}"]', *inner, "end"] if inner else []


def _resources(application: Application) -> Iterator[str]:
    for name, resource in sorted(application.resources.items()):
        database = resource.type.raw in DATABASE_TYPES
        opening, closing = ('[("', '")]') if database else ('("', '")')
        yield _node("resource", name, opening, closing)


def _topics(planned: Planned) -> Iterator[str]:
    read = {gateway.topic for gateway in planned.plan.gateways}  # dead letters that somebody asks for
    for topic in planned.plan.topics:
        if topic.name in read or not (topic.implicit or topic.dead_letter_of):
            yield _node("topic", topic.name, '(["', '"])')


def _pipeline(agents: tuple[Wired, ...]) -> list[str]:
    if not agents:
        return []
    pipeline = agents[0].pipeline.id
    lines = (_node("agent", each.agent.id, '("', '")', each.agent.name) for each in agents)
    return _subgraph(_identity("pipeline", pipeline), f"Pipeline: <b>{pipeline}</b>", lines)


def _with_followers(pipelines: Iterable[tuple[Wired, ...]]) -> Iterator[tuple[Wired, Wired | None]]:
    for agents in pipelines:
        yield from zip(agents, [*agents[1:], None], strict=True)


def _outside(agents: Iterable[Wired], edges: _Edges) -> Iterator[str]:
    text = "\n".join(edges.lines)
    for wired in agents:
        for kind in ("external-source", "external-sink"):
            if f" {_identity(kind, wired.agent.id)}" in f"{text}\n":
                yield _node(kind, wired.agent.id, '(["', '"])', "External system")


def _agent_edges(wired: Wired, following: Wired | None, application: Application, edges: _Edges) -> None:
    name = _identity("agent", wired.agent.id)
    if wired.input:
        edges.add(name, "-.->", _identity("topic", wired.input), _INPUT)
    elif not wired.follows and wired.kind != "service":
        edges.add(name, "-.->", _identity("external-source", wired.agent.id), _INPUT)
    used = _used_resources(wired, application)
    outputs = list(_outputs(wired, following))
    for kind, target, colour in outputs:
        edges.add(name, "-->", _identity(kind, target), colour)
    ends_outside = not outputs and wired.kind != "service"
    if ends_outside and not used:
        edges.add(name, "-->", _identity("external-sink", wired.agent.id), _FINAL)
    for position, resource in enumerate(used):
        final = ends_outside and position == 0
        edges.add(
            name, "-->" if final else "-.->", _identity("resource", resource), _FINAL if final else None
        )


def _outputs(wired: Wired, following: Wired | None) -> Iterator[tuple[str, str, str]]:
    if wired.output:
        yield "topic", wired.output, _FINAL
    elif following is not None and following.follows:
        yield "agent", following.agent.id, _INNER
    for topic in named_topics(wired):
        yield "topic", topic, _INNER


def _used_resources(wired: Wired, application: Application) -> list[str]:
    used = [name for name in named_resources(wired) if name in application.resources]
    if wired.declared and wired.declared.uses_ai and not used:
        models = (name for name, resource in application.resources.items() if resource.type.raw in AI_TYPES)
        used = list(models)[:1]
    return used


def _gateway_edges(gateway: GatewayPlan, edges: _Edges) -> None:
    name = _identity("gateway", gateway.id)
    consumed = gateway.topic if gateway.type == "consume" else gateway.answers_topic
    produced = gateway.topic if gateway.type == "produce" else gateway.questions_topic
    if produced:
        edges.add(name, "-->", _identity("topic", produced))
    if consumed:
        edges.add(name, "-.->", _identity("topic", consumed))
