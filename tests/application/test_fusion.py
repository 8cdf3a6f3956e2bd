"""Neighbours share a unit if and only if every condition holds; checked against random pipelines."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.application import plan_directory

KINDS = {
    "python-source": "source",
    "python-processor": "processor",
    "identity": "processor",
    "python-sink": "sink",
    "python-service": "service",
}
composable = st.sampled_from([{}, {}, {"composable": True}, {"composable": False}, {"composable": "false"}])
scales = st.sampled_from([{}, {}, {"max": 3}, {"min": 0}])
resources = st.fixed_dictionaries(
    {},
    optional={
        "parallelism": st.sampled_from([1, 1, 2]),
        "size": st.sampled_from([1, 1, 2]),
        "disk": st.just({"enabled": True}),
        "scale": scales,
    },
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "on-failure": st.sampled_from(["fail", "fail", "skip", "dead-letter"]),
        "retries": st.sampled_from([0, 0, 3]),
    },
)


def agents_of(types: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": types, "configuration": composable, "resources": resources, "errors": policies},
        optional={"output": st.just("shared")},
    )


@st.composite
def pipelines(draw: st.DrawFn) -> list[dict[str, Any]]:
    agents = draw(st.lists(agents_of(st.sampled_from(["identity", "python-processor"])), max_size=5))
    if draw(st.booleans()):
        agents.insert(0, draw(agents_of(st.just("python-source"))))
    if draw(st.booleans()):
        agents.append(draw(agents_of(st.just("python-sink"))) | {"output": None})
    for number, agent in enumerate(agents):
        agent["id"] = f"a{number}"
        if KINDS[agent["type"]] != "processor" or agent["type"] == "python-processor":
            agent["configuration"] = {**agent["configuration"], "className": "a.B"}
    return agents


def policy(agent: dict[str, Any]) -> tuple[Any, ...]:
    errors = agent["errors"]
    return errors.get("on-failure", "fail"), errors.get("retries", 0)


def scale(agent: dict[str, Any]) -> tuple[Any, ...]:
    stated = agent["resources"]
    wanted = stated.get("scale", {})
    return stated.get("parallelism", 1), stated.get("size", 1), wanted.get("max", 0), wanted.get("min", 0)


def together(before: dict[str, Any], after: dict[str, Any]) -> bool:
    stated = [str(agent["configuration"].get("composable", "true")).lower() for agent in (before, after)]
    from_source = before["type"] == "python-source"
    return (
        not before.get("output")
        and "false" not in stated
        and policy(before) == policy(after)
        and scale(before) == scale(after)
        and (not from_source or before["configuration"].get("composable") is True)
    )


@settings(deadline=None)
@given(pipelines())
def test_merged_if_and_only_if_all_conditions_hold(agents: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = {"topics": [{"name": "shared"}], "pipeline": agents}
        (Path(folder) / "pipeline.yaml").write_text(json.dumps(content))
        plan = plan_directory(folder)
    expected: list[list[str]] = []
    for number, agent in enumerate(agents):
        if number and together(agents[number - 1], agent):
            expected[-1].append(agent["id"])
        else:
            expected.append([agent["id"]])
    assert [[agent.id for agent in unit.spec.agents] for unit in plan.units] == expected
    _check_topics(plan, agents, expected)


def _check_topics(plan: Any, agents: list[dict[str, Any]], expected: list[list[str]]) -> None:
    """Every link between units is a topic that exists, and there is no other implicit topic."""
    outputs = {agent["id"]: agent.get("output") for agent in agents}
    linked = [
        f"agent-{unit[0]}-input" for before, unit in itertools.pairwise(expected) if not outputs[before[-1]]
    ]
    implicit = [topic.name for topic in plan.topics if topic.implicit and not topic.dead_letter_of]
    assert implicit == sorted(linked)
    names = {topic.name for topic in plan.topics}
    for unit in plan.units:
        spec = unit.spec
        assert {spec.input, spec.output, spec.dead_letter} - {None} <= names
        assert (spec.dead_letter is not None) == (
            spec.errors.on_failure == "dead-letter" and spec.input is not None
        )
