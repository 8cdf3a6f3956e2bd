"""The schemas of files accept what the planner accepts, and refuse slips that an editor can see."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tidemill.application.schema import agent_schema, file_schemas
from tidemill.functions.registry import AGENTS, declaration

from .shapes import APPLICATIONS, secrets
from .test_shapes import INSTANCE

SCHEMAS = file_schemas()
CHECKS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_fit(name: str) -> None:
    for file, content in APPLICATIONS[name].files().items():
        kind = "pipeline" if file.startswith("pipeline") else file.removesuffix(".yaml")
        assert [error.message for error in CHECKS[kind].iter_errors(content)] == []


def test_instance_and_secrets_fit() -> None:
    assert list(CHECKS["instance"].iter_errors(INSTANCE)) == []
    assert list(CHECKS["secrets"].iter_errors(secrets())) == []


@pytest.mark.parametrize("name", sorted({declaration(name).type for name in AGENTS}))
def test_examples_of_agents_fit(name: str) -> None:
    found = declaration(name)
    schema = agent_schema(found)
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    assert [error.message for error in check.iter_errors(dict(found.example.configuration))] == []


def _agent(kind: str, **configuration: Any) -> dict[str, Any]:
    return {"pipeline": [{"type": kind, "configuration": configuration}]}


def _resource(kind: str, **configuration: Any) -> dict[str, Any]:
    return {"configuration": {"resources": [{"type": kind, "name": "n", "configuration": configuration}]}}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("pipeline", {"pipelines": []}),
        ("pipeline", {"topics": [{"name": "t", "creation-mode": "maybe"}]}),
        ("pipeline", _agent("text-spliter")),
        ("pipeline", _agent("drop-fields", fields=["a"], fileds=1)),
        ("pipeline", _agent("drop-fields", fields="a")),
        ("pipeline", _agent("compute", fields=[{"name": "value"}])),
        ("pipeline", _agent("re-rank", field="value.a", algorithm="mmr", **{"output-field": "value"})),
        ("pipeline", {"errors": {"on-failure": "explode"}}),
        ("pipeline", {"assets": [{"asset-type": "jdbc-table", "config": {"datasource": "d"}}]}),
        ("configuration", _resource("datasource", service="jdbc")),
        ("configuration", _resource("datasource", service="oracle")),
        ("configuration", _resource("open-ai-configuration", **{"access-keys": "x"})),
        ("configuration", {"resources": []}),
        ("gateways", {"gateways": [{"id": "g", "type": "produces"}]}),
        ("instance", {"instance": {"streamingCluster": {"type": "rabbit"}}}),
        ("secrets", {"secrets": [{"name": "no id"}]}),
    ],
)
def test_slips_are_seen(kind: str, content: dict[str, Any]) -> None:
    assert list(CHECKS[kind].iter_errors(content))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("pipeline", _agent("drop-fields", fields="${globals.fields}")),
        ("pipeline", _agent("webcrawler-source", **{"max-urls": "20", "handle-robots-file": "true"})),
        ("configuration", _resource("datasource", service="${globals.service}", other=1)),
        ("pipeline", {"topics": None}),
    ],
)
def test_what_is_lenient_stays_so(kind: str, content: dict[str, Any]) -> None:
    assert [error.message for error in CHECKS[kind].iter_errors(content)] == []
