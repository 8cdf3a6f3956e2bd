"""Gaps, doubles and disorder are found, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from contract.broker_contract import event
from hypothesis import given
from hypothesis import strategies as st

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import TopicConfig
from tidemill.brokers.verify import compare
from tidemill.cli.verify import verify


def test_each_fault_has_its_list() -> None:
    found = compare("k", [1, 2, 3, 4, 5], [1, 3, 2, 3, 5, 9])
    assert (found.missing, found.doubled, found.disordered, found.unknown) == ([4], [3], [2], [9])
    assert not compare(None, [1, 2, 3], [3, 2, 1])
    assert not compare("k", [1, 1, 2], [1, 2])


@given(st.lists(st.integers(), unique=True), st.randoms())
def test_only_the_same_order_is_right(values: list[int], random: object) -> None:
    assert not compare("k", values, values)
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert bool(compare("k", values, shuffled)) == (values != shuffled)


def fill(folder: Path, outputs: list[tuple[str, int]]) -> None:
    async def run() -> None:
        broker = await EmbeddedBroker.open(folder)
        for name in ("in", "out"):
            await broker.create_topic(TopicConfig(name, 3))
        inputs = [(f"k{n % 2}", n) for n in range(10)]
        for topic, items in (("in", inputs), ("out", outputs)):
            data = [(key, json.dumps({"a": {"n": n}}).encode()) for key, n in items]
            await broker.publish(topic, [event(f"{i}", key, text) for i, (key, text) in enumerate(data)])
        await broker.close()

    asyncio.run(run())


def test_the_command_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / ".tidemill", [(f"k{n % 2}", n) for n in range(10)])
    verify(tmp_path, "in", "out", field="a.n")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "10 in, 10 out, 2 keys: no gap, double or disorder\n"


def test_the_command_names_the_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(
        tmp_path,
        [("k0", 0), ("k0", 4), ("k0", 2), ("k0", 4), ("k1", 1), ("k1", 3), ("k1", 5), ("k1", 7), ("k1", 77)],
    )
    with pytest.raises(SystemExit) as caught:
        verify(tmp_path, "in", "out", field="a.n")
    assert caught.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "key k0: missing: 6, 8",
        "key k0: doubled: 4",
        "key k0: out of order: 2",
        "key k1: missing: 9",
        "key k1: unknown: 77",
    ]
