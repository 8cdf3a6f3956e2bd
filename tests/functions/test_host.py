"""The host alone: starts, refusals, deadlines, writes without a record."""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Iterator, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from contract.context import clean_imports

from tidemill.errors import ConfigurationError
from tidemill.functions.environment import Environment, write_secrets
from tidemill.functions.host import DEFAULT_CONCURRENCY, Host
from tidemill.functions.outcome import Busy, Done, Failed, Result
from tidemill.functions.unit import AgentSpec, ResourcesSpec, ScaleSpec, UnitSpec
from tidemill.record import Event, Record, to_event, to_record

CODE = """
import asyncio

class Slow:
    async def process(self, record):
        if record.value() == "slow":
            await asyncio.sleep(60)
        return [(record.value(), record.key())]

class Stubborn:
    async def process(self, record):
        for _ in range(3):
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                pass
        return []

class Talker:
    def init(self, config, context):
        self.producer = context.get_topic_producer()

    async def read(self):
        await self.producer.awrite("log", ("from outside a record",))
        return [("one",)]
"""


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path) -> Iterator[None]:
    with clean_imports(tmp_path):
        yield


class Written:
    """Remembers what is published."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        self.events += [(topic, event) for event in events]


def host(tmp_path: Path, type: str, configuration: dict[str, Any], deadline: float = 5.0) -> Host:
    (tmp_path / "python").mkdir(exist_ok=True)
    (tmp_path / "python" / "usercode.py").write_text(CODE)
    agent = AgentSpec(id="a", type=type, configuration=configuration)
    kind = "source" if type.endswith("source") else "processor"
    unit = UnitSpec(id="u", kind=kind, agents=(agent,), output="out", topics=("out", "log"))
    environment = Environment(unit=tmp_path / "unit.json", code=tmp_path, secrets=tmp_path / "secrets")
    return Host(unit, environment, Written(), deadline)


def event(value: str, key: str = "k", id: str = "1") -> Event:
    return to_event(Record(value, key), id=id, source="/tests")


async def handled(found: Host, given: Event) -> Result:
    result = found.handle(given, "in", 5)
    return await result if isawaitable(result) else result


def test_outputs_carry_the_units_source_and_repeat_their_ids(tmp_path: Path) -> None:
    async def scenario() -> None:
        found = host(tmp_path, "identity", {})
        await found.start()
        first, second = await handled(found, event("v")), await handled(found, event("v"))
        assert isinstance(first, Done)
        assert first == second
        ((topic, output),) = first.outputs
        assert (topic, output.source) == ("out", "/default/application/u")
        assert to_record(output).value == "v"

    asyncio.run(scenario())


def test_secrets_are_the_owners_alone_and_what_went_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder, {"s": {"n": 1, "old": "x"}, "t": {"u": "v"}})
    write_secrets(folder, {"s": {"n": "1"}})
    assert Environment(unit=tmp_path, secrets=folder).read_secrets() == {"s": {"n": "1"}}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "s" / "n").stat().st_mode) == 0o600


@pytest.mark.parametrize(("identity", "key"), [("s", "a/b"), ("s", ".."), ("../../s", "k"), ("..", "k")])
def test_a_secret_is_never_written_outside_its_folder(tmp_path: Path, identity: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(key)):
        write_secrets(tmp_path / "secrets", {identity: {key: "value"}})
    assert not list(tmp_path.rglob("*"))


def test_a_secret_is_resolved_here_and_keeps_its_type(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_secrets(tmp_path / "secrets", {"s": {"size": 4, "overlap": 0, "none": None}})
        configuration = {
            "chunk_size": "${secrets.s.size}",
            "chunk_overlap": "${secrets.s.overlap}",
            "separators": "${secrets.s.none}",
            "length_function": "length",
        }
        found = host(tmp_path, "text-splitter", configuration)
        await found.start()
        result = await handled(found, event("aa bb cc"))
        assert isinstance(result, Done)
        assert [to_record(output).value for _, output in result.outputs] == ["aa", "bb", "cc"]
        await found.close()

    asyncio.run(scenario())


def test_an_agent_that_cannot_start_is_named(tmp_path: Path) -> None:
    wrong = {"schema-type": "text"}  # the agent finds it, not its model
    with pytest.raises(ConfigurationError, match=r"^agent 'a' \(cast\) cannot start: .*'text'") as caught:
        asyncio.run(host(tmp_path, "cast", wrong).start())
    assert caught.value.agent == "a"


def test_a_bad_configuration_names_the_agent_and_shows_no_value(tmp_path: Path) -> None:
    found = host(tmp_path, "text-splitter", {"chunk_size": "hush-hush"})
    with pytest.raises(ConfigurationError, match=r"agent 'a' \(text-splitter\).*chunk_size") as caught:
        asyncio.run(found.start())
    assert "hush-hush" not in caught.value.message


def test_a_copy_takes_as_many_records_as_the_unit_or_its_agents_say(tmp_path: Path) -> None:
    def concurrency(type: str, stated: int | None) -> int:
        scale = ResourcesSpec(scale=ScaleSpec(concurrency=stated))
        unit = UnitSpec(id="u", kind="processor", agents=(AgentSpec(id="a", type=type),), resources=scale)
        return Host(unit, Environment(unit=tmp_path), Written()).concurrency

    assert concurrency("identity", 7) == 7
    assert concurrency("python-processor", None) == 1
    assert concurrency("identity", None) == DEFAULT_CONCURRENCY


def test_a_deadline_ends_the_attempt_and_frees_the_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        found = host(tmp_path, "python-processor", {"className": "usercode.Slow"}, deadline=0.1)
        await found.start()
        failed = await handled(found, event("slow"))
        assert isinstance(failed, Failed)
        assert failed.error_class == "DeadlineExceeded"
        assert isinstance(await handled(found, event("quick")), Done)
        assert found.in_flight == 0
        await found.close()

    asyncio.run(scenario())


def test_while_an_attempt_runs_the_key_is_busy_and_others_are_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        found = host(tmp_path, "python-processor", {"className": "usercode.Stubborn"}, deadline=0.1)
        await found.start()
        old = found.handle(event("v", "k"), "in", 5)
        assert isawaitable(old)
        await asyncio.sleep(0.15)  # past its deadline; the code goes on
        assert isinstance(found.handle(event("v", "k"), "in", 5), Busy)
        other = found.handle(event("v", "other"), "in", 5)
        assert isawaitable(other)
        assert isinstance(await old, Done)  # its own code ended it, and nobody else had the key meanwhile
        await other
        await found.close()

    asyncio.run(scenario())


def test_a_source_may_write_to_a_topic_outside_any_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        found = host(tmp_path, "python-source", {"className": "usercode.Talker"})
        await found.start()
        assert len(await found.source.read()) == 1
        assert isinstance(found.publisher, Written)
        ((topic, written),) = found.publisher.events
        assert (topic, to_record(written).value) == ("log", "from outside a record")
        await found.close()

    asyncio.run(scenario())
