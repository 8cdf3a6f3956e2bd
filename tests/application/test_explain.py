"""The guarantees that `plan` prints are those of the plan at hand."""

from __future__ import annotations

from tidemill.application import plan_directory
from tidemill.application.explain import PLATFORMS, guarantees, lane_let_go_after

PIPELINE = """
topics: [{name: in, creation-mode: create-if-not-exists}, {name: foreign}]
pipeline:
  - {id: f, type: identity, input: in}
  - {id: s, type: identity, errors: {on-failure: skip, retries: 2}}
  - {id: d, type: identity, output: in, errors: {on-failure: dead-letter}}
  - {id: p, type: identity, input: foreign}
"""


def test_every_trigger_is_told_of_on_every_platform(write) -> None:
    found = guarantees(plan_directory(write({"pipeline.yaml": PIPELINE})))
    for platform in PLATFORMS:
        about = {unit: each.text for each in found if each.platform == platform for unit in each.units}
        assert set(about) == {"f", "s", "d", "p"}
    texts = {each.text.partition(":")[0]: each for each in found if each.about == "failure"}
    assert set(texts) == {"fail", "skip", "dead-letter"}


def test_knative_says_when_a_lane_is_let_go(write) -> None:
    assert lane_let_go_after() == sum(10 * attempt for attempt in range(1, 1001))
    found = guarantees(plan_directory(write({"pipeline.yaml": PIPELINE})))
    (fail,) = [each for each in found if each.platform == "knative" and each.text.startswith("fail")]
    assert "58 days" in fail.text
    assert fail.units == ("f", "p")


def test_foreign_topics_come_by_a_kafka_source(write) -> None:
    found = guarantees(plan_directory(write({"pipeline.yaml": PIPELINE})))
    assert [each.units for each in found if each.about == "foreign topic"] == [("p",)]


def test_an_application_without_triggers_gets_no_promise(write) -> None:
    assert guarantees(plan_directory(write({"pipeline.yaml": "topics: []"}))) == ()
