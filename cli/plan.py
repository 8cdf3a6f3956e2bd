"""`tidemill plan DIR`: what an application becomes, without starting anything.

The result goes to stdout as text, JSON, YAML or mermaid; notes go to stderr. Literal passwords, keys
and tokens of the files are hidden in it, placeholders stay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from ..application.explain import Guarantee, guarantees
from ..application.plan import GatewayPlan, Plan, TopicPlan, TriggerPlan, UnitPlan
from ..application.planner import Planned, study
from ..application.yaml import SENSITIVE
from .problems import problem_words

Output = Literal["text", "json", "yaml", "mermaid"]


def plan(
    directory: Annotated[Path, Parameter(help="the application's folder")] = Path("."),
    *,
    instance: Annotated[Path | None, Parameter(name=["--instance", "-i"], help="instance.yaml")] = None,
    secrets: Annotated[Path | None, Parameter(name=["--secrets", "-s"], help="secrets.yaml")] = None,
    output: Annotated[Output, Parameter(name=["--output", "-o"], help="form of the result")] = "text",
    strict: Annotated[bool, Parameter(negative=(), help="refuse placeholders without a value")] = False,
    name: Annotated[str | None, Parameter(help="the application's id (the folder's name)")] = None,
) -> None:
    """Show what an application becomes: units, topics, triggers, gateways, assets, guarantees."""
    planned = study(directory, instance=instance, secrets=secrets, name=name, strict=strict)
    for note in planned.problems.notes:
        print(problem_words(note, "note"), file=sys.stderr)
    sys.stdout.write(_FORMS[output](planned))


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as one object, with its defaults written out and what must stay secret hidden."""
    data: dict[str, Any] = redacted(_written_out(plan))
    data["units"] = [{**unit["spec"], "why": unit["why"]} for unit in data["units"]]
    data["guarantees"] = [
        {
            "platform": each.platform,
            "about": each.about,
            "promise": each.text,
            "units": list(each.units),
        }
        for each in guarantees(plan)
    ]
    return data


def _written_out(value: Any) -> Any:
    """As plain values; msgspec leaves defaults out, a reader of JSON wants them."""
    if isinstance(value, msgspec.Struct):
        return {name: _written_out(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _written_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written_out(item) for item in value]
    return value


def redacted(value: Any, name: str = "") -> Any:
    """Without the literal values of keys that sound secret."""
    if isinstance(value, dict):
        return {key: redacted(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, name) for item in value]
    hidden = isinstance(value, str) and value and "${" not in value and SENSITIVE.search(name)
    return "***" if hidden else value


def _as_json(planned: Planned) -> str:
    return json.dumps(as_data(planned.plan), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _as_yaml(planned: Planned) -> str:
    import yaml

    return str(yaml.safe_dump(as_data(planned.plan), allow_unicode=True))


def _as_mermaid(planned: Planned) -> str:
    from ..application.mermaid import mermaid

    return mermaid(planned)


def _as_text(planned: Planned) -> str:
    found = planned.plan
    title = f"application {found.application} (tenant {found.tenant}), topics on: {found.cluster.type}"
    sections = {
        "units": [line for unit in found.units for line in _unit(unit)],
        "topics": [_topic(topic) for topic in found.topics],
        "triggers": [_trigger(trigger) for trigger in found.triggers],
        "gateways": [_gateway(gateway) for gateway in found.gateways],
        "assets": [f"{asset.id}  {asset.type}, {asset.creation_mode}" for asset in found.assets],
        "guarantees": list(_promises(guarantees(found))),
    }
    lines = [title]
    for name, content in sections.items():
        lines += ["", name, *(f"  {line}" for line in content or ["none"])]
    return "\n".join(lines) + "\n"


def _unit(unit: UnitPlan) -> Iterator[str]:
    spec = unit.spec
    yield f"{spec.id}  {spec.kind}"
    agents = [
        agent.type if agent.id.startswith(spec.id) else f"{agent.id} ({agent.type})" for agent in spec.agents
    ]
    yield f"  agents: {' → '.join(agents)}"
    yield f"  begins here: {unit.why}"
    yield f"  reads {spec.input or 'no topic'}, writes {spec.output or 'no topic'}"
    resources = spec.resources
    stated = [f"{name} {getattr(resources, name)}" for name in ("parallelism", "size")]
    if resources != msgspec.structs.replace(type(resources)(), scale=resources.scale):
        disk = [f"disk {resources.disk.size} bytes"] if resources.disk else []
        yield f"  resources: {', '.join(stated + disk)}"
    if resources.scale != type(resources.scale)():
        yield f"  scale: {_scale(msgspec.to_builtins(resources.scale))}"


def _scale(stated: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in stated.items())


def _topic(topic: TopicPlan) -> str:
    why = "implicit, " if topic.implicit else ""
    why += f"dead letters of {topic.dead_letter_of}, " if topic.dead_letter_of else ""
    plain = ", plain records" if topic.format == "plain" else ""
    return f"{topic.name}  {why}{topic.partitions} partitions, {topic.creation_mode}{plain}"


def _trigger(trigger: TriggerPlan) -> str:
    policy = f"{trigger.on_failure} after {trigger.retries} retries"
    if trigger.on_failure == "fail":
        policy = "fail: retried until it succeeds"
    target = f" to {trigger.dead_letter}" if trigger.dead_letter else ""
    return f"{trigger.topic} → {trigger.unit}  {policy}{target}"


def _gateway(gateway: GatewayPlan) -> str:
    roles = ("topic", "questions_topic", "answers_topic", "input_topic", "output_topic", "agent_id")
    named = {role: getattr(gateway, role) for role in roles}
    shown = ", ".join(f"{role.removesuffix('_topic')} {name}" for role, name in named.items() if name)
    locked = f", authentication {gateway.authentication.provider}" if gateway.authentication else ""
    return f"{gateway.id}  {gateway.type}: {shown}{locked}"


def _promises(promises: tuple[Guarantee, ...]) -> Iterator[str]:
    platform = ""
    for promise in promises:
        if promise.platform != platform:
            platform = promise.platform
            yield platform
        units = f"  [{', '.join(promise.units)}]" if promise.units else ""
        yield f"  {promise.about}: {promise.text}{units}"


_FORMS = {"text": _as_text, "json": _as_json, "yaml": _as_yaml, "mermaid": _as_mermaid}
