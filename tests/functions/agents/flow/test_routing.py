"""dispatch, trigger-event, flare-controller: what goes where."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from contract.context import results, running
from pydantic import ValidationError

from tidemill.errors import RecordError
from tidemill.functions.api import Routed
from tidemill.functions.registry import declaration
from tidemill.record import Record


def made(agent: str, record: Record, **configuration: Any) -> list[Record | Routed]:
    async def run() -> list[Record | Routed]:
        named = {name.replace("_", "-"): value for name, value in configuration.items()}
        async with running(agent, named) as handler:
            return await results(handler, record)

    return asyncio.run(run())


# --- dispatch --------------------------------------------------------------------------------------

ROUTES = [
    {"when": "value.n == 1", "destination": "one"},
    {"when": "value.n < 3", "destination": "few"},
    {"when": "value.n > 9", "action": "drop"},
    {"when": "value.flag.deeper", "action": "drop"},
]


@pytest.mark.parametrize(
    ("value", "destination"), [('{"n": 1}', "one"), ('{"n": 2}', "few"), (b'{"n":1}', "one")]
)
def test_the_first_route_that_fits_takes_the_record_untouched(value: Any, destination: str) -> None:
    record = Record(value, "k", (("h", b"x"), ("h", "y")), "topic", 5)
    [found] = made("dispatch", record, routes=ROUTES)
    assert isinstance(found, Routed)
    assert found.topic == destination
    assert found.record is record


def test_a_route_may_drop_and_no_route_passes() -> None:
    assert made("dispatch", Record('{"n": 10}'), routes=ROUTES) == []
    record = Record('{ "n": 5 }')
    assert made("dispatch", record, routes=ROUTES) == [record]
    assert made("dispatch", record) == [record]


def test_a_condition_that_fails_is_the_records_error() -> None:
    with pytest.raises(RecordError):
        made("dispatch", Record('{"n": "x"}'), routes=[{"when": "value.n + 1 > 2", "destination": "t"}])


@pytest.mark.parametrize(
    "route",
    [
        {"when": "true", "destination": "t", "action": "drop"},
        {"when": "true"},
        {"destination": "t"},
        {"when": "true", "destination": "t", "action": "copy"},
    ],
)
def test_routes_that_cannot_be_meant_are_refused(route: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        declaration("dispatch").config.model_validate({"routes": [route]})


# --- trigger-event ---------------------------------------------------------------------------------


def test_the_event_leaves_with_the_record() -> None:
    record = Record('{ "n": 1 }', "k", (("h", "x"),))
    fields = [
        {"name": "value.copy", "expression": "value.n"},
        {"name": "value.n", "expression": "value.n + 1"},
        {"name": "properties.p", "expression": "value.n"},
        {"name": "key", "expression": "'other'"},
    ]
    event, passed = made("trigger-event", record, destination="t", fields=fields)
    assert passed is record
    assert isinstance(event, Routed)
    # All expressions saw the record as it came; the map stays a map.
    assert event == Routed("t", Record({"n": 2, "copy": 1}, "other", (("h", "x"), ("p", "1"))))


def test_when_and_continue_processing() -> None:
    record = Record('{"n": 1}')
    assert made("trigger-event", record, destination="t", when="value.n > 1") == [record]
    assert made("trigger-event", record, destination="t", when="value.missing") == [record]
    [event] = made("trigger-event", record, destination="t", continue_processing=False)
    assert event == Routed("t", Record({"n": 1}))


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("text", {"name": "value.a", "expression": "1"}),
        ("{}", {"name": "properties.p", "expression": "value.missing"}),
        ("{}", {"name": "record.a", "expression": "1"}),
    ],
)
def test_an_event_that_cannot_be_made_is_the_records_error(value: str, field: dict[str, str]) -> None:
    with pytest.raises(RecordError):
        made("trigger-event", Record(value), destination="t", fields=[field])


# --- flare-controller ------------------------------------------------------------------------------

FLARE = {
    "tokens-field": "value.t",
    "logprobs-field": "value.l",
    "loop-topic": "loop",
    "retrieve-documents-field": "value.ask",
}


def asked(tokens: list[str], probabilities: list[float], **more: Any) -> list[Record | Routed]:
    logprobs = [math.log(number) for number in probabilities]
    value = json.dumps({"t": tokens, "l": logprobs, **more.pop("value", {})})
    return made("flare-controller", Record(value, "k"), **FLARE, **more)


def test_a_sure_answer_passes() -> None:
    [found] = asked(["Paris", " is"], [0.9, 0.2])
    assert isinstance(found, Record)


def test_what_is_no_word_does_not_count() -> None:
    [found] = asked(["Paris", ".", " "], [0.9, 0.1, 0.01])
    assert isinstance(found, Record)


def test_unsure_passages_are_asked_for() -> None:
    tokens = [f"{letter} " for letter in "abcdefghijkl"]
    unsure = [0.1 if token in ("a ", "c ", "l ") else 0.9 for token in tokens]
    [found] = asked(tokens, unsure)
    assert isinstance(found, Routed)
    assert found.topic == "loop"
    # a and c are close, so one passage; the last one ends with the text.
    assert found.record.value["ask"] == ["a b c d e ", "l "]
    assert found.record.value["flare_iterations"] == 1
    assert found.record.key == "k"


def test_the_rounds_end() -> None:
    [again] = asked(["a"], [0.1], value={"flare_iterations": 10})
    assert isinstance(again, Routed)
    assert again.record.value["flare_iterations"] == 11
    [passed] = asked(["a"], [0.1], value={"flare_iterations": 11})
    assert isinstance(passed, Record)
    [passed] = asked(["a"], [0.1], value={"rounds": 3}, max_iterations=2, num_iterations_field="value.rounds")
    assert isinstance(passed, Record)


def test_the_search_can_be_tuned() -> None:
    [found] = asked(["a", "b", "c"], [0.5, 0.9, 0.5], min_prob=0.6, min_token_gap=1, num_pad_tokens=0)
    assert isinstance(found, Routed)
    assert found.record.value["ask"] == ["a", "c"]


@pytest.mark.parametrize("value", ['{"t": null, "l": []}', '{"t": ["a"], "l": ["x"]}', "text"])
def test_an_answer_without_tokens_is_the_records_error(value: str) -> None:
    with pytest.raises(RecordError):
        made("flare-controller", Record(value), **FLARE)
