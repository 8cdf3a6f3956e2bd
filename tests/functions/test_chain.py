"""What a chain of agents makes of one record: order, routing, errors, ids that repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import pytest

from tidemill.functions import chain
from tidemill.functions.api import Routed
from tidemill.functions.chain import Left, Stage
from tidemill.functions.emission import Emission, current, emit
from tidemill.functions.unit import UnitSpec
from tidemill.record import Event, Record

PARENT = Event({"id": "1", "source": "/s", "type": "t"})
UNIT = UnitSpec(id="u", kind="processor", agents=())


def split(record: Record) -> Sequence[Record]:
    return [replace(record, value=part) for part in str(record.value).split()]


def mark(suffix: str, delays: Sequence[float] = ()) -> Any:
    waits = iter(delays)

    async def process(record: Record) -> Sequence[Record]:
        await asyncio.sleep(next(waits, 0))
        return [replace(record, value=f"{record.value}{suffix}")]

    return process


def run(stages: Sequence[Stage], value: Any) -> Sequence[Left]:
    async def inner() -> Sequence[Left]:
        current.set(Emission(PARENT))
        left = chain.run(stages, Record(value))
        return await left if isawaitable(left) else left

    return asyncio.run(inner())


def values(left: Sequence[Left]) -> list[Any]:
    return [item.record.value for item in left]


def test_a_chain_of_plain_agents_makes_no_task() -> None:
    current.set(Emission(PARENT))
    left = chain.run([Stage("a", split)], Record("x"))
    assert not isawaitable(left)
    assert left == [Left("a", None, Record("x"))]


def test_results_keep_the_order_of_their_records_whatever_ends_first() -> None:
    stages = [Stage("a", split), Stage("b", mark("!", [0.02, 0.01, 0])), Stage("c", mark("?"))]
    assert values(run(stages, "x y z")) == ["x!?", "y!?", "z!?"]


def test_without_agents_the_record_passes() -> None:
    assert values(run([], "x")) == ["x"]


def test_an_empty_result_ends_the_chain() -> None:
    assert run([Stage("a", lambda record: ()), Stage("b", mark("!"))], "x") == []


def test_a_routed_record_skips_the_agents_that_follow() -> None:
    def route(record: Record) -> Sequence[Record | Routed]:
        return [Routed("other", record), record]

    left = run([Stage("a", route), Stage("b", mark("!"))], "x")
    assert [(item.topic, item.record.value) for item in left] == [("other", "x"), (None, "x!")]


def test_one_failure_is_the_failure_of_the_input() -> None:
    async def process(record: Record) -> Sequence[Record]:
        if record.value == "y":
            raise ValueError("y is not welcome")
        return [record]

    with pytest.raises(ValueError, match="y is not welcome"):
        run([Stage("a", split), Stage("b", process)], "x y z")


def test_side_writes_have_ids_that_do_not_depend_on_timing() -> None:
    """A redelivery that happens to finish in another order writes the same ids."""

    def ids(delays: Sequence[float]) -> list[str]:
        written: dict[str, str] = {}
        waits = iter(delays)

        async def process(record: Record) -> Sequence[Record]:
            await asyncio.sleep(next(waits))
            event = emit(record, UNIT, current.get(), "b", "side:log")
            written[str(record.value)] = event.id
            return [record]

        run([Stage("a", split), Stage("b", process)], "x y z")
        return [written[name] for name in "xyz"]

    first = ids([0.02, 0.01, 0])
    assert first == ids([0, 0.01, 0.02])
    assert len(set(first)) == 3


def test_outputs_of_one_input_have_different_ids() -> None:
    emission = Emission(PARENT)
    made = [emit(Record("same"), UNIT, emission, "a", "out").id for _ in range(3)]
    again = [emit(Record("same"), UNIT, Emission(PARENT), "a", "out").id]
    other = emit(Record("same"), replace_unit(epoch=1), Emission(PARENT), "a", "out").id
    assert len(set(made)) == 3
    assert again == made[:1]
    assert other not in made


def replace_unit(**changes: Any) -> UnitSpec:
    import msgspec

    return msgspec.structs.replace(UNIT, **changes)


def test_what_rests_on_a_topic_is_text() -> None:
    event = emit(
        Record({"a": [1, None]}, {"k": 1}, (("n", 5), ("b", b"x"))), UNIT, Emission(PARENT), "a", "o"
    )
    assert event.data == b'{"a":[1,null]}'
    assert event.partition_key == '{"k":1}'
    assert event.attributes["datacontenttype"] == "application/json"
