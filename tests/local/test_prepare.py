"""What `run` refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.errors import ApplicationError
from tidemill.local.run import RunOptions, prepare

PIPELINE = """
topics: [{{name: words, creation-mode: create-if-not-exists}}]
pipeline:
  - id: one
    type: compute
    input: words
    configuration: {{fields: [{{name: value, expression: "{expression}"}}]}}
"""


def application(folder: Path, expression: str) -> RunOptions:
    (folder / "pipeline.yaml").write_text(PIPELINE.format(expression=expression))
    return RunOptions(folder, name="app")


@pytest.mark.parametrize("reference", ["secrets.shop.key", "globals.shop.key"])
def test_a_placeholder_that_nothing_will_fill_is_an_error_of_the_application(
    tmp_path: Path, reference: str
) -> None:
    with pytest.raises(ApplicationError) as caught:
        prepare(application(tmp_path, "${" + reference + "}"))
    (problem,) = caught.value.problems
    assert problem.at is not None
    assert (problem.at.line, "shop" in problem.message) == (7, True)


def test_equal_files_prepare_equal_manifests(tmp_path: Path) -> None:
    options = application(tmp_path, "value.n")
    assert prepare(options) == prepare(options)
