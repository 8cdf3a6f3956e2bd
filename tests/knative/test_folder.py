"""From a folder of YAML to manifests, through the real loader and planner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidemill.application.planner import plan_directory
from tidemill.knative.read import read
from tidemill.knative.render import RenderOptions, render
from tidemill.knative.secrets import render_secrets

PIPELINE = """
topics:
  - {name: questions, creation-mode: create-if-not-exists}
  - {name: answers, creation-mode: create-if-not-exists, partitions: 1}
errors: {on-failure: dead-letter, retries: 2}
pipeline:
  - {type: cast, input: questions, configuration: {schema-type: string}}
  - type: compute
    output: answers
    configuration: {fields: [{name: value.k, expression: "'${secrets.key.it}'"}]}
    errors: {on-failure: skip}
    resources: {size: 2}
"""
GATEWAYS = "gateways: [{id: ask, type: produce, topic: questions}]"
SECRETS = "secrets: [{id: key, data: {it: s3cr3t-value, limit: 5}}]"


@pytest.fixture
def application(tmp_path: Path) -> Path:
    folder = tmp_path / "My_Shop"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "gateways.yaml").write_text(GATEWAYS)
    (tmp_path / "secrets.yaml").write_text(SECRETS)
    return folder


def test_a_folder_becomes_valid_manifests(
    application: Path, own_rules: Any, typed_models: Any, tmp_path: Path
) -> None:
    plan = plan_directory(application, secrets=tmp_path / "secrets.yaml")
    found = render(plan, RenderOptions(namespace="shop"))
    assert own_rules(found) == []
    assert typed_models(found) == []
    assert "s3cr3t-value" not in json.dumps(found)
    manifests = read(found)
    assert [trigger.on_failure for trigger in manifests.triggers] == ["dead-letter", "skip"]
    assert [unit.secrets for unit in manifests.units if unit.secrets] == [{"key": f"{plan.application}-key"}]
    assert render_secrets(plan.application, {"key": {"it": "x"}}, "shop")[0]["metadata"]["name"] == (
        f"{plan.application}-key"
    )


def test_the_plan_of_a_folder_is_valid_by_the_crds(application: Path, crds: Any) -> None:
    assert crds(render(plan_directory(application))) == []
