"""What cannot run on this machine is refused by name, with what would run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.application.planner import study
from tidemill.application.runnable import check_runnable
from tidemill.errors import ApplicationError

from .shapes import APPLICATIONS


def refused(name: str, folder: Path) -> list[str]:
    for file, content in APPLICATIONS[name].files().items():
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(ApplicationError) as caught:
        check_runnable(study(folder, name="shape"))
    assert all(problem.at and problem.why for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("application", "agent", "by"),
    [
        ("kafka-connect", "the sink", "it is run by a worker of Kafka Connect"),
        ("kafka-connect-source", "the source", "it is run by a worker of Kafka Connect"),
        ("camel-source", "the camel-source", "it is run by an integration of Apache Camel"),
        ("query-solr", "the vector-db-sink", "its datasource has the service 'solr'"),
    ],
)
def test_a_run_refuses(application: str, agent: str, by: str, tmp_path: Path) -> None:
    assert refused(application, tmp_path)[0].startswith(f"Agent '{agent}' cannot run here: {by}")


@pytest.mark.parametrize(
    "application", ["openai-completions", "python-function", "dispatch-and-trigger", "s3-source"]
)
def test_a_run_takes_what_has_functions(application: str, tmp_path: Path) -> None:
    for file, content in APPLICATIONS[application].files().items():
        (tmp_path / file).write_text(json.dumps(content))
    check_runnable(study(tmp_path, name="shape"))
