"""Applications in the shapes of LangStream's examples plan, with and without instance and secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidemill.application import plan_directory
from tidemill.application.catalogue import ASSET_TYPES, RESOURCE_TYPES, SERVICES
from tidemill.application.plan import Plan, write_plan
from tidemill.errors import ApplicationError
from tidemill.functions.registry import AGENTS

from .shapes import APPLICATIONS, RAG_AWS, App, secrets

INSTANCE = {
    "instance": {
        "streamingCluster": {
            "type": "kafka",
            "configuration": {"admin": {"bootstrap.servers": "${secrets.kafka.servers}"}},
        },
        "computeCluster": {"type": "kubernetes"},
    }
}


def written(app: App, folder: Path) -> Path:
    """JSON is YAML."""
    application = folder / "application"
    application.mkdir()
    for name, content in app.files().items():
        (application / name).write_text(json.dumps(content))
    shared = secrets()
    shared["secrets"].append({"id": "kafka", "data": {"servers": "localhost:9092"}})
    (folder / "secrets.yaml").write_text(json.dumps(shared))
    (folder / "instance.yaml").write_text(json.dumps(INSTANCE))
    return application


def planned(app: App, folder: Path, **options: Any) -> Plan:
    return plan_directory(written(app, folder), name="shape", **options)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_it_plans(name: str, tmp_path: Path) -> None:
    app = APPLICATIONS[name]
    files = {kind: tmp_path / f"{kind}.yaml" for kind in ("instance", "secrets")}
    plan = planned(app, tmp_path, **files)
    assert len(plan.units) == app.units
    assert len([topic for topic in plan.topics if not topic.implicit]) == len(app.topics)
    assert len(plan.gateways) == len(app.gateways)
    assert len(plan.assets) == sum(len(pipe.assets) for pipe in app.pipes)
    found = [spec.type for unit in plan.units for spec in unit.spec.agents]
    declared = [one["type"] for pipe in app.pipes for one in pipe.agents]
    assert found == [kind.replace("python-function", "python-processor") for kind in declared]
    assert b"planted-value" not in write_plan(plan)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_it_plans_while_secrets_are_unknown(name: str, tmp_path: Path) -> None:
    assert len(planned(APPLICATIONS[name], tmp_path).units) == APPLICATIONS[name].units


def test_the_one_with_a_fault_is_told_of_it(tmp_path: Path) -> None:
    with pytest.raises(ApplicationError) as caught:
        planned(RAG_AWS, tmp_path, secrets=tmp_path / "secrets.yaml")
    [problem] = caught.value.problems
    assert "Property 'index-name' is required" in problem.message
    assert "resource: 'Db'" in problem.message
    assert problem.at is not None
    assert problem.at.file.endswith("configuration.yaml")


def test_the_shapes_use_every_type() -> None:
    apps = APPLICATIONS.values()
    pipes = [pipe for app in apps for pipe in app.pipes]
    agents = {one["type"] for pipe in pipes for one in pipe.agents}
    assert agents == set(AGENTS)
    assert {one["asset-type"] for pipe in pipes for one in pipe.assets} == set(ASSET_TYPES)
    resources = [one for app in apps for one in app.resources]
    assert {one["type"] for one in resources} == set(RESOURCE_TYPES)
    services = {one["configuration"].get("service") for one in resources} - {None}
    assert services == set(SERVICES) - {"sqlite"}  # Tidemill's own
    assert len(APPLICATIONS) >= 40
