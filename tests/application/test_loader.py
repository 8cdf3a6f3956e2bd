"""The folder as an Application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.application import application_id, load
from tidemill.application.loader import read
from tidemill.application.problems import Problems
from tidemill.errors import ApplicationError, NotFound, UsageError


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("shop-assistant", "shop-assistant"),
        ("My Shop_2", "my-shop-2"),
        ("2024", "app-2024"),
        ("--", "app"),
        ("naïve", "na-ve"),
        ("a" * 40, "a" * 40),
    ],
)
def test_application_id(name: str, legal: str) -> None:
    assert application_id(name) == legal


@given(st.text(max_size=80))
def test_application_ids_are_always_legal_and_stay_as_they_are(name: str) -> None:
    legal = application_id(name)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", legal)
    assert len(legal) <= 40
    assert application_id(legal) == legal


def test_long_names_with_one_beginning_differ() -> None:
    assert application_id("a" * 50 + "1") != application_id("a" * 50 + "2")


def test_ids_of_agents_without_one(write) -> None:
    folder = write(
        {
            "flow.yaml": "pipeline: [{type: cast}, {id: x, type: cast}, {type: identity}]",
            "other.yaml": "module: side\nid: p\npipeline: [{type: identity}]",
        }
    )
    ids = [agent.id for pipeline in load(folder).pipelines for agent in pipeline.agents]
    assert ids == ["flow-cast-1", "x", "flow-identity-2", "side-p-identity-1"]


def test_other_files_and_folders_are_left_alone(write) -> None:
    folder = write({"pipeline.yaml": "topics: []", "notes.txt": "x", ".hidden.yaml": "]["})
    (folder / "python").mkdir()
    (folder / "python" / "data.yaml").write_text("][")
    (folder / "folder.yaml").mkdir()
    assert [pipeline.id for pipeline in load(folder).pipelines] == ["pipeline"]


def test_a_yml_file_is_skipped_with_a_note(write) -> None:
    folder = write({"pipeline.yaml": "topics: []", "more.yml": "]["})
    problems = Problems()
    read(folder, None, None, None, problems)
    assert not problems.found
    assert "more.yml is not read" in problems.notes[0].message


def test_a_byte_order_mark_is_no_content(write) -> None:
    folder = write({})
    (folder / "pipeline.yaml").write_bytes(b"\xef\xbb\xbfid: flow\n")
    assert load(folder).pipelines[0].id == "flow"


def test_text_that_is_not_utf8_has_a_line(write) -> None:
    folder = write({})
    (folder / "pipeline.yaml").write_bytes(b"id: a\nname: \xff\n")
    with pytest.raises(ApplicationError, match=r"pipeline.yaml:2:1: .* not UTF-8"):
        load(folder)


def test_what_is_no_folder(tmp_path: Path, write) -> None:
    with pytest.raises(NotFound):
        load(tmp_path / "none")
    with pytest.raises(UsageError):
        load(write({"pipeline.yaml": ""}) / "pipeline.yaml")


def test_the_project_folder_instead_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "application").mkdir()
    (tmp_path / "instance.yaml").write_text("instance: {}")
    with pytest.raises(ApplicationError) as caught:
        load(tmp_path)
    assert any(
        problem.hint == f"did you mean {tmp_path / 'application'}?" for problem in caught.value.problems
    )


def test_everything_of_configuration_and_gateways(write) -> None:
    folder = write(
        {
            "pipeline.yaml": "topics: [{name: q}, {name: a}]",
            "configuration.yaml": (
                "configuration:\n"
                "  resources: [{type: datasource, name: db, configuration: {service: sqlite}}]\n"
                "  dependencies:\n"
                "    - {name: d, url: 'https://example.com/d.jar', sha512sum: ab, type: java-library}\n"
                "  defaults: {globals: {x: 1}}\n"
            ),
            "gateways.yaml": (
                "gateways:\n"
                "  - id: c\n"
                "    type: consume\n"
                "    topic: a\n"
                "    parameters: [sessionId]\n"
                "    events-topic: q\n"
                "    authentication: {provider: http, configuration: {base-url: u}, allow-test-mode: false}\n"
                "    consumeOptions: {filters: {headers: [{valueFromParameters: sessionId}]}}\n"
            ),
        }
    )
    application = load(folder)
    gateway = application.gateways[0]
    assert application.resources["db"].type.raw == "datasource"
    assert application.dependencies[0].sha512sum == "ab"
    assert gateway.headers[0].key == gateway.headers[0].from_parameter == "sessionId"
    assert gateway.authentication is not None
    assert gateway.authentication.allow_test_mode is False
