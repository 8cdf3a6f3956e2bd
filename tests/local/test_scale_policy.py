"""`resources.scale` on its way to the autoscaler: through the plan and the annotations of a Service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.local.autoscaler import ScalePolicy
from tidemill.local.run import RunOptions, prepare
from tidemill.local.units import scale_policy

PIPELINE = """
topics: [{{name: in, creation-mode: create-if-not-exists}}]
pipeline: [{{id: a, type: {type}, input: in, resources: {{scale: {scale}}}{more}}}]
"""


def policy(folder: Path, scale: str, type: str = "identity", more: str = "") -> ScalePolicy:
    (folder / "pipeline.yaml").write_text(PIPELINE.format(scale=scale, type=type, more=more))
    (unit,) = prepare(RunOptions(folder, name="app")).manifests.units
    return scale_policy(unit, unit.spec())


def test_everything_that_is_said_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    said = "{min: 1, max: 3, target: 5, window: 20, delay: 9}"
    assert policy(tmp_path, said) == ScalePolicy(minimum=1, maximum=3, target=5, window=20, delay=9)


def test_a_rate_has_a_target_of_its_own(tmp_path: Path) -> None:
    said, unsaid = (policy(tmp_path, f"{{metric: rps{more}}}") for more in (", target: 7", ""))
    assert (said.metric, said.target) == ("rps", 7)
    assert (unsaid.metric, unsaid.target) == ("rps", 200)  # Knative's


def test_more_copies_than_the_machine_has_cores_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    found = policy(tmp_path, "{min: 6, max: 50}")
    assert (found.minimum, found.maximum) == (4, 4)


def test_user_code_takes_one_record_at_a_time(tmp_path: Path) -> None:
    assert policy(tmp_path, "{}", "python-processor", ", configuration: {className: a.B}").target == 1
