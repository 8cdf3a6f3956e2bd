"""The Python agents with user code as it is written for LangStream."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contract.context import TestContext, clean_imports, results, running

from tidemill.errors import ConfigurationError, RecordError
from tidemill.functions.agents.code._loading import UserCodeError
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Event, JsonText, Record, to_record

PROCESSOR = "python-processor"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "python" / "lib").mkdir(parents=True)
    with clean_imports(tmp_path):
        yield tmp_path


def write(folder: Path, code: str, name: str = "agent_under_test.py") -> None:
    file = folder / "python" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(code))


def context(folder: Path, **given: Any) -> TestContext:
    return TestContext(code_directory=folder, **given)


@asynccontextmanager
async def started(
    folder: Path, code: str, kind: str = PROCESSOR, given: TestContext | None = None, **configuration: Any
) -> AsyncIterator[Any]:
    write(folder, code)
    configuration = {"className": "agent_under_test.Agent"} | configuration
    async with running(kind, configuration, given or context(folder)) as agent:
        yield agent


def process(folder: Path, code: str, record: Record, **configuration: Any) -> list[Record]:
    async def run() -> Any:
        async with started(folder, code, **configuration) as agent:
            return await results(agent, record)

    found: list[Record] = asyncio.run(run())
    return found


# --- records ---------------------------------------------------------------------------------------


def test_a_class_written_for_langstream_runs(folder: Path) -> None:
    code = """
        from langstream import Processor, SimpleRecord
        class Agent(Processor):
            def process(self, record):
                return [SimpleRecord(record.value() + "!", headers=record.headers())]
    """
    given = Record("hi", "k", (("a", "1"), ("a", "2")), "topic", 5)
    assert process(folder, code, given) == [Record("hi!", None, (("a", "1"), ("a", "2")))]


def test_every_part_of_a_record_arrives(folder: Path) -> None:
    code = """
        class Agent:
            def process(self, r):
                return [{"value": repr([r.value(), r.key(), r.headers(), r.origin(), r.timestamp()])}]
    """
    given = Record(b"x", 1, (("h", "t"),), "topic", 5)
    assert process(folder, code, given)[0].value == "[b'x', 1, [('h', 't')], 'topic', 5]"


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("[('v',)]", [Record("v")]),
        ("[['v', 'k', [('h', 1)], 'o', 7]]", [Record("v", "k", (("h", 1),), "o", 7)]),
        ("[{'value': 1, 'key': 'k'}]", [Record(1, "k")]),
        ("({'value': n} for n in range(2))", [Record(0), Record(1)]),
        ("[]", []),
        ("()", []),
        ("[record]", [Record({"in": 1}, "key", (("h", "x"),), "from", 3)]),
    ],
)
def test_the_forms_of_a_result(folder: Path, returned: str, expected: list[Record]) -> None:
    code = f"""
        class Agent:
            def process(self, record):
                return {returned}
    """
    found = process(folder, code, Record({"in": 1}, "key", (("h", "x"),), "from", 3))
    if returned == "[record]":
        expected = [Record('{"in":1}', "key", (("h", "x"),), "from", 3)]
    assert found == expected


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("'text'", "must return a list of records, and returned a value of type str"),
        ("{'value': 1}", "must return a list of records, and returned a value of type dict"),
        ("None", "must return a list of records, and returned None"),
        ("('v', 'k')", "a value of type str is no record"),
        ("[None]", "None is no record"),
        ("[{'valeu': 1}]", "and no 'valeu'"),
        ("[{'key': 1}]", "needs a 'value'"),
        ("[()]", "1 to 5 parts"),
        ("[(1, 2, 3, 4, 5, 6)]", "1 to 5 parts"),
        ("[(1, 2, 3)]", "list of (name, value)"),
        ("[(1, 2, ['ab', 3])]", "list of (name, value)"),
        ("[(1, 2, [(3, 'x')])]", "name is text"),
        ("[(object(),)]", "a value of type object, which cannot leave"),
        ("[(1 << 63,)]", "does not fit in 64 bits"),
        ("[('v', 'k', [], 5)]", "origin is text"),
        ("[('v', 'k', [], 'o', 'now')]", "timestamp is a whole number"),
    ],
)
def test_what_is_no_result(folder: Path, returned: str, reason: str) -> None:
    code = f"""
        class Agent:
            def process(self, record):
                return {returned}
    """
    with pytest.raises(RecordError) as caught:
        process(folder, code, Record("x"))
    assert reason in str(caught.value)


def test_values_leave_with_their_types(folder: Path) -> None:
    code = """
        from langstream import AvroValue
        import enum
        class Word(str): pass
        class Number(enum.IntEnum):
            ONE = 1
        class Agent:
            def process(self, record):
                values = ["t", b"b", True, 1, 1.5, None, {"é": [1, None]}, [1, 2], bytearray(b"x"),
                          Word("w"), Number.ONE, AvroValue({"type": "int"}, {"a": 1})]
                return [(value,) for value in values]
    """
    found = [record.value for record in process(folder, code, Record("x"))]
    assert found == ["t", b"b", True, 1, 1.5, None, '{"é":[1,null]}', "[1,2]", b"x", "w", 1, '{"a":1}']
    assert [type(value) for value in found[6:]] == [JsonText, JsonText, bytes, str, int, JsonText]


def test_maps_arrive_as_text_whether_fused_or_not(folder: Path) -> None:
    code = """
        class Agent:
            def process(self, record):
                return [(type(record.value()).__mro__[-2].__name__, str(record.value()))]
    """
    assert process(folder, code, Record({"a": [1]})) == [Record("str", '{"a":[1]}')]
    assert process(folder, code, Record(3)) == [Record("int", "3")]


def test_header_text_also_answers_like_bytes(folder: Path) -> None:
    code = """
        class Agent:
            def process(self, record):
                session = dict(record.headers())["s"]
                return [(session.decode("utf-8") + session, None, record.headers())]
    """
    found = process(folder, code, Record("x", None, (("s", "ü"), ("b", b"1"))))
    assert found == [Record("üü", None, (("s", "ü"), ("b", b"1")))]
    assert type(found[0].headers[0][1]) is str


def test_what_is_handed_on_keeps_the_event_it_came_from(folder: Path) -> None:
    event = Event({"id": "1", "source": "/s", "type": "t", "traceparent": "00-x"}, b"text")
    record = to_record(event)
    code = """
        class Agent:
            def process(self, record):
                return [(record.value(),)]
    """
    assert process(folder, code, record)[0].incoming == record.incoming


# --- life cycle ------------------------------------------------------------------------------------


def test_order_of_calls_and_what_init_gets(folder: Path) -> None:
    given = context(
        folder,
        resources={"db": ResourceSpec(id="db", type="datasource", configuration={"password": "p"})},
        globals={"g": 1},
        state_directory=folder / "state",
    )
    code = """
        import os
        EARLY = os.environ["TOLD"]
        calls = []
        class Agent:
            def __init__(self): calls.append("new")
            async def init(self, config, context):
                calls.append(("init", config, context.get_persistent_state_directory()))
                config["resources"]["db"]["password"] = "changed"
            def start(self): calls.append("start")
            def process(self, record): return [(EARLY,)]
            def close(self): calls.append("close")
            def agent_info(self): return {"calls": len(calls)}
    """

    async def run() -> None:
        environment = [{"key": "TOLD", "value": True}]
        options = {"environment": environment, "deep": {"x": [1, "2"]}, "n": 3}
        async with started(folder, code, given=given, **options) as agent:
            assert (await results(agent, Record("x")))[0].value == "true"
            assert agent.info() == {"calls": 3}
            await agent.close()
        calls = sys.modules["agent_under_test"].calls
        name, config, state = calls.pop(1)
        assert (name, state) == ("init", str(folder / "state"))
        assert config["className"] == "agent_under_test.Agent"
        assert (config["deep"], config["n"]) == ({"x": [1, "2"]}, 3)
        assert config["resources"].keys() == {"db"}
        assert config["globals"] == {"g": 1}
        assert "composable" not in config
        assert calls == ["new", "start", "close"]

    asyncio.run(run())
    assert given.resources["db"].configuration == {"password": "p"}


@pytest.mark.parametrize("parameters", ["self", "self, config", "self, config, context", "self, *args"])
def test_arguments_are_cut_to_what_the_method_takes(folder: Path, parameters: str) -> None:
    code = f"""
        class Agent:
            def init({parameters}): self.seen = len(locals()) - 1
            def process(self, record): return [(self.seen,)]
    """
    assert process(folder, code, Record("x"))[0].value == min(parameters.count(","), 2)


def test_synchronous_code_keeps_to_one_thread_and_off_the_loop(folder: Path) -> None:
    code = """
        import threading
        class Agent:
            def init(self): self.first = threading.get_ident()
            def process(self, record): return [(threading.get_ident() == self.first, self.first)]
    """
    [record] = process(folder, code, Record("x"))
    assert record.value is True
    assert record.key != threading.get_ident()


@pytest.mark.parametrize(
    "body",
    [
        "async def process(self, record): return [(record.value(),)]",
        "def process(self, record): return pool.submit(lambda: [(record.value(),)])",
        "async def process(self, record): return pool.submit(lambda: iter([(record.value(),)]))",
    ],
)
def test_coroutines_and_futures_are_awaited(folder: Path, body: str) -> None:
    code = f"""
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        class Agent:
            {body}
            def close(self): pool.shutdown()
    """
    assert process(folder, code, Record("x")) == [Record("x")]


@pytest.mark.parametrize("prefix", ["", "async "])
def test_one_record_at_a_time(folder: Path, prefix: str) -> None:
    wait = "await asyncio.sleep(0)" if prefix else "time.sleep(0.001)"
    code = f"""
        import asyncio, time
        running = 0
        class Agent:
            {prefix}def process(self, record):
                global running
                running += 1
                {wait}
                seen, running = running, running - 1
                return [(seen, record.value())]
    """

    async def run() -> None:
        async with started(folder, code) as agent:
            found = await asyncio.gather(*(results(agent, Record(n)) for n in range(20)))
        assert [record for [record] in found] == [Record(1, n) for n in range(20)]

    asyncio.run(run())


# --- cancellation ----------------------------------------------------------------------------------


def test_a_cancelled_record_ends_only_when_the_code_does(folder: Path) -> None:
    code = """
        import threading
        entered, go = threading.Event(), threading.Event()
        class Agent:
            def process(self, record):
                entered.set()
                go.wait(10)
                return [(record.value(),)]
    """

    async def run() -> None:
        async with started(folder, code) as agent:
            module = sys.modules["agent_under_test"]
            task = asyncio.create_task(results(agent, Record("first")))
            await asyncio.to_thread(module.entered.wait, 10)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=0.02)
            assert not done
            module.go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await results(agent, Record("second")) == [Record("second")]

    asyncio.run(run())


def test_closing_does_not_wait_for_code_that_hangs(folder: Path) -> None:
    code = """
        import threading
        entered, go, closed = threading.Event(), threading.Event(), threading.Event()
        class Agent:
            def process(self, record):
                entered.set()
                go.wait(60)
                return []
            def close(self): closed.set()
    """

    async def run() -> None:
        async with started(folder, code) as agent:
            module = sys.modules["agent_under_test"]
            task = asyncio.create_task(results(agent, Record("first")))
            await asyncio.to_thread(module.entered.wait, 10)
            await agent.close()
            assert module.closed.is_set()
            with pytest.raises(asyncio.CancelledError):
                await task
            module.go.set()

    asyncio.run(run())


def test_code_that_cancels_itself_fails_the_record_only(folder: Path) -> None:
    code = """
        import asyncio
        class Agent:
            async def process(self, record):
                raise asyncio.CancelledError("mine")
    """
    with pytest.raises(UserCodeError, match="CancelledError"):
        process(folder, code, Record("x"))


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "async "])
def test_an_exception_shows_the_users_line(folder: Path, prefix: str) -> None:
    code = f"""
        import json
        class Agent:
            {prefix}def process(self, record):
                return self.parse(record.value())
            def parse(self, text):
                return json.loads(text)
    """
    with pytest.raises(UserCodeError) as caught:
        process(folder, code, Record("{broken"))
    error = caught.value
    assert error.error_class == "JSONDecodeError"
    assert error.at is not None
    assert (error.at.file, error.at.line) == ("python/agent_under_test.py", 7)
    assert error.at.text == "return json.loads(text)"
    assert str(error).startswith("JSONDecodeError: Expecting property name")
    assert str(error).endswith("(python/agent_under_test.py:7)")
    assert type(error.__cause__).__name__ == "JSONDecodeError"


@pytest.mark.parametrize("raised", ["SystemExit(1)", "StopIteration()", "ValueError", "KeyError('k')"])
def test_whatever_is_raised_is_the_records_error(folder: Path, raised: str) -> None:
    code = f"""
        class Agent:
            def process(self, record):
                if record.value() == "bad":
                    raise {raised}
                return [record]
    """

    async def run() -> None:
        async with started(folder, code) as agent:
            with pytest.raises(UserCodeError):
                await results(agent, Record("bad"))
            assert await results(agent, Record("good")) == [Record("good")]

    asyncio.run(run())


def test_an_error_in_a_library_of_the_application_points_at_the_callers_line(folder: Path) -> None:
    write(folder, "def fail():\n    raise OSError('no disk')\n", "lib/helper_under_test.py")
    code = """
        import helper_under_test
        class Agent:
            def process(self, record):
                helper_under_test.fail()
    """
    with pytest.raises(UserCodeError, match=r"OSError: no disk \(python/agent_under_test.py:5\)"):
        process(folder, code, Record("x"))


@pytest.mark.parametrize(
    ("code", "class_name", "reason", "hint"),
    [
        ("class Agnet: pass", "agent_under_test.Agent", "has no class 'Agent'", "agent_under_test.Agnet"),
        ("class Agent: pass", "agent_under_tset.Agent", "no module 'agent_under_tset'", "agent_under_test"),
        ("class Agent: pass", "agent_under_test.Agent", "has no method 'process'", None),
        (
            "import not_installed\n",
            "agent_under_test.Agent",
            "No module named 'not_installed' (python/agent_under_test.py:1)",
            "python/requirements.txt",
        ),
        ("x = 1\nclass Agent(:\n", "agent_under_test.Agent", "(python/agent_under_test.py:2)", None),
        ("x = {}['k']\n", "agent_under_test.Agent", "KeyError: 'k' (python/agent_under_test.py:1)", None),
        (
            "class Agent:\n    def __init__(self, x): pass\n    process = 1",
            "agent_under_test.Agent",
            "has no method 'process'",
            None,
        ),
        (
            "class Agent:\n    def __init__(self, x): pass\n    def process(self, record): pass",
            "agent_under_test.Agent",
            "TypeError",
            None,
        ),
        (
            "class Agent:\n    def init(self, config): config['key']\n    def process(self, record): pass",
            "agent_under_test.Agent",
            "cannot start: KeyError: 'key' (python/agent_under_test.py:2)",
            None,
        ),
    ],
)
def test_what_cannot_start(folder: Path, code: str, class_name: str, reason: str, hint: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        process(folder, code, Record("x"), className=class_name)
    assert reason in str(caught.value)
    assert "agent 'agent'" in str(caught.value)
    assert hint is None or hint in (caught.value.hint or "")


def test_a_module_hidden_by_one_of_python_is_told(folder: Path) -> None:
    write(folder, "class Agent:\n    def process(self, record): return []", "json.py")
    with pytest.raises(ConfigurationError, match=r"python/json\.py is hidden"):
        process(folder, "", Record("x"), className="json.Agent")


def test_a_class_name_needs_a_module() -> None:
    from tidemill.functions.agents.code._user_code import PythonConfig

    with pytest.raises(ValueError, match="className"):
        PythonConfig.model_validate({"className": "Agent"})


# --- writing to topics -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "def process(self, record): self.out.write('side', {'value': {'a': 1}, 'key': 'k'}); return []",
        "def process(self, record): self.out.write('side', ({'a': 1}, 'k')).result(); return []",
        "async def process(self, record): await self.out.awrite('side', ({'a': 1}, 'k')); return []",
        "async def process(self, record): self.out.write('side', ({'a': 1}, 'k')); return []",
    ],
)
def test_code_writes_to_topics(folder: Path, body: str) -> None:
    given = context(folder)
    code = f"""
        class Agent:
            def init(self, config, context): self.out = context.get_topic_producer()
            {body}
    """
    assert process(folder, code, Record("x"), given=given) == []
    assert given.published == [("side", Record('{"a":1}', "k"), "side")]


def test_many_writes_are_all_made_before_the_record_ends(folder: Path) -> None:
    given = context(folder)
    code = """
        class Agent:
            def init(self, config, context): self.out = context.get_topic_producer()
            def process(self, record):
                for n in range(3000):
                    self.out.write("side", (n,))
                return [("done",)]
    """
    assert process(folder, code, Record("x"), given=given) == [Record("done")]
    assert [record.value for _, record, _ in given.published] == list(range(3000))


def test_a_failed_write_that_nobody_looks_at_is_the_records_error(folder: Path) -> None:
    given = context(folder, fail_publish=RecordError("the topic is full"))
    code = """
        class Agent:
            def init(self, config, context): self.out = context.get_topic_producer()
            async def process(self, record):
                self.out.write("side", (1,))
                return []
    """
    with pytest.raises(RecordError, match="the topic is full"):
        process(folder, code, Record("x"), given=given)


# --- source, sink, service -------------------------------------------------------------------------


def test_a_source_gets_its_own_objects_back(folder: Path) -> None:
    code = """
        from langstream import Source, SimpleRecord
        seen = []
        class Agent(Source):
            def read(self):
                self.one = SimpleRecord("a", key=1)
                return [self.one, ("b", 2), {"value": "c"}]
            def commit(self, record):
                seen.append((record is self.one, record.value(), record.key()))
    """

    async def run() -> None:
        async with started(folder, code, "python-source") as agent:
            records = await agent.read()
            assert records == [Record("a", 1), Record("b", 2), Record("c")]
            for record in records:
                await agent.commit(record)
            await agent.commit(Record("other"))
            assert not agent._open
        expected = [(True, "a", 1), (False, "b", 2), (False, "c", None), (False, "other", None)]
        assert sys.modules["agent_under_test"].seen == expected

    asyncio.run(run())


def test_commits_go_through_while_read_waits(folder: Path) -> None:
    code = """
        import threading
        committed = threading.Event()
        class Agent:
            first = True
            def read(self):
                if not self.first:
                    assert committed.wait(10)
                self.first = False
                return [("x",)]
            async def commit(self, record): committed.set()
    """

    async def run() -> None:
        async with started(folder, code, "python-source") as agent:
            [record] = await agent.read()
            reading = asyncio.create_task(agent.read())
            await asyncio.sleep(0)
            await agent.commit(record)
            assert len(await reading) == 1

    asyncio.run(run())


def test_permanent_failure_returns_or_raises(folder: Path) -> None:
    code = """
        from langstream import Source
        class Agent(Source):
            def read(self): return [("handled",), ("not",)]
            def permanent_failure(self, record, error):
                if record.value() == "not":
                    super().permanent_failure(record, error)
    """

    async def run() -> None:
        async with started(folder, code, "python-source") as agent:
            handled, other = await agent.read()
            await agent.failed(handled, RecordError("poison"))
            with pytest.raises(UserCodeError, match="RuntimeError: poison"):
                await agent.failed(other, RecordError("poison"))

    asyncio.run(run())


def test_a_source_without_permanent_failure_gives_up(folder: Path) -> None:
    async def run() -> None:
        async with started(folder, "class Agent:\n    def read(self): return []", "python-source") as agent:
            with pytest.raises(RecordError, match="poison"):
                await agent.failed(Record("x"), RecordError("poison"))

    asyncio.run(run())


def test_read_raises_what_the_code_raises(folder: Path) -> None:
    async def run() -> None:
        code = "class Agent:\n    def read(self): raise OSError('gone')"
        async with started(folder, code, "python-source") as agent:
            with pytest.raises(UserCodeError, match=r"OSError: gone \(python/agent_under_test.py:2\)"):
                await agent.read()

    asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [
        "def write(self, r): seen.append(r.value())",
        "async def write(self, r): seen.append(r.value())",
        "def write(self, r): return pool.submit(seen.append, r.value())",
    ],
)
def test_a_sink(folder: Path, body: str) -> None:
    code = f"""
        from concurrent.futures import ThreadPoolExecutor
        pool, seen = ThreadPoolExecutor(1), []
        class Agent:
            {body}
            def close(self): pool.shutdown()
    """

    async def run() -> None:
        async with started(folder, code, "python-sink") as agent:
            for n in range(3):
                await agent.write(Record(n))
            assert sys.modules["agent_under_test"].seen == [0, 1, 2]

    asyncio.run(run())


SERVICES = {
    "def main(self): raise OSError('port taken')": "OSError: port taken",
    "def main(self, crash):\n        crash(OSError('later'))\n        forever.wait(60)": "OSError: later",
    "async def main(self): raise OSError('async')": "OSError: async",
}


@pytest.mark.parametrize("body", SERVICES)
def test_a_service_that_fails_fails_its_unit(folder: Path, body: str) -> None:
    code = f"import threading\nforever = threading.Event()\nclass Agent:\n    {body}\n"

    async def run() -> None:
        async with started(folder, code, "python-service") as agent:
            with pytest.raises(UserCodeError, match=SERVICES[body]):
                await agent.run()
            sys.modules["agent_under_test"].forever.set()

    asyncio.run(run())


def test_a_service_is_stopped_though_its_main_never_returns(folder: Path) -> None:
    code = """
        import threading
        running, forever = threading.Event(), threading.Event()
        class Agent:
            def main(self):
                running.set()
                forever.wait(60)
            def close(self): forever.set()
    """

    async def run() -> None:
        async with started(folder, code, "python-service") as agent:
            task = asyncio.create_task(agent.run())
            await asyncio.to_thread(sys.modules["agent_under_test"].running.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_two_agents_of_a_unit_share_a_module(folder: Path) -> None:
    code = """
        made = []
        class Agent:
            def __init__(self): made.append(self)
            def process(self, record): return [(len(made),)]
    """

    async def run() -> None:
        async with started(folder, code), started(folder, code) as second:
            assert (await results(second, Record("x")))[0].value == 2

    asyncio.run(run())


def test_an_installed_langstream_wins_over_ours(folder: Path) -> None:
    theirs = """
        class SimpleRecord:
            def __init__(self, value, key=None, headers=None, origin=None, timestamp=None):
                self.parts = value, key, headers, origin, timestamp
            def value(self): return self.parts[0]
            def key(self): return "theirs"
            def headers(self): return self.parts[2]
            def origin(self): return self.parts[3]
            def timestamp(self): return self.parts[4]
    """
    write(folder, theirs, "lib/langstream.py")
    ours = sys.modules.pop("langstream", None)
    try:
        code = """
            class Agent:
                def process(self, record): return [record]
        """
        assert process(folder, code, Record("x", "k")) == [Record("x", "theirs")]
    finally:
        sys.modules.pop("langstream", None)
        if ours is not None:
            sys.modules["langstream"] = ours
