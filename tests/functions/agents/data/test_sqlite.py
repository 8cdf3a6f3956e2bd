"""`vector-db-sink`, `query` and `query-vector-db` on real SQLite files."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
import sqlite_vec
from contract.context import TestContext, results, running

from tidemill.errors import ConfigurationError, NotFound, RecordError
from tidemill.functions.agents.data._datasource import DatabaseError
from tidemill.functions.agents.data._sqlite import bound
from tidemill.functions.registry import declaration
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

TABLE: dict[str, Any] = {
    "datasource": "db",
    "table-name": "documents",
    "fields": [
        {"name": "id", "expression": "key", "primary-key": "true"},
        {"name": "text", "expression": "value.text"},
        {"name": "embeddings", "expression": "value.embeddings"},
    ],
}
NEAREST: dict[str, Any] = {
    "datasource": "db",
    "query": "SELECT id, text FROM documents ORDER BY vec_distance_cosine(embeddings, ?) LIMIT 2",
    "fields": ["value.embeddings"],
    "output-field": "value.found",
}


def context(path: object, kind: str = "datasource", **more: Any) -> TestContext:
    configuration = {"service": "sqlite", "path": str(path)}
    return TestContext(
        resources={"db": ResourceSpec(id="db", type=kind, configuration=configuration)}, **more
    )


def document(key: str, text: str, embeddings: Any) -> Record:
    return Record(json.dumps({"text": text, "embeddings": embeddings}), key)


async def store(host: TestContext, *records: Record, **more: Any) -> None:
    async with running("vector-db-sink", {**TABLE, **more}, host) as sink:
        await asyncio.gather(*(sink.write(record) for record in records))


async def ask(host: TestContext, record: Record, configuration: dict[str, Any] = NEAREST, **more: Any) -> Any:
    async with running("query", {**configuration, **more}, host) as agent:
        (answered,) = await results(agent, record)
    return json.loads(answered.value)


def rows(path: Path, statement: str = "SELECT * FROM documents ORDER BY id") -> list[Any]:
    connection = apsw.Connection(str(path))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    return list(connection.execute(statement))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "shop.db"


# --- the sink --------------------------------------------------------------------------------------


def test_the_table_is_made_and_the_nearest_found(file: Path) -> None:
    async def main() -> None:
        host = context(file)
        await store(
            host,
            document("a", "headphones", [0.9, 0.1]),
            document("b", "earbuds", [0.8, 0.3]),
            document("c", "tax law", [0.0, 1.0]),
        )
        found = await ask(host, Record('{"embeddings":[1.0,0.0]}'))
        assert found["found"] == [{"id": "a", "text": "headphones"}, {"id": "b", "text": "earbuds"}]

    asyncio.run(main())


def test_a_second_record_of_a_key_changes_its_row(file: Path) -> None:
    async def main() -> None:
        await store(context(file), document("a", "old", [1.0]), document("a", "new", [2.0]))
        assert rows(file, "SELECT id, text, vec_to_json(embeddings) FROM documents") == [
            ("a", "new", "[2.000000]")
        ]

    asyncio.run(main())


def test_a_record_without_value_deletes_its_row(file: Path) -> None:
    async def main() -> None:
        await store(context(file), document("a", "x", [1.0]), document("b", "y", [1.0]))
        await store(context(file), Record(None, "a"), Record(None, "unknown"))
        assert [row[0] for row in rows(file)] == ["b"]

    asyncio.run(main())


def test_a_key_that_is_null_is_one_key(file: Path) -> None:
    async def main() -> None:
        await store(context(file), Record('{"text":"x"}', None), Record('{"text":"y"}', None))
        assert rows(file) == [(None, "y", None)]

    asyncio.run(main())


def test_values_keep_their_types(file: Path) -> None:
    async def main() -> None:
        values = [1, 2.5, "1", "é", True, None, {"a": [1]}, [1, 2], ["x"], []]
        records = [Record(json.dumps({"text": value}), str(n)) for n, value in enumerate(values)]
        await store(context(file), *records)
        kept = [row[0] for row in rows(file, "SELECT text FROM documents ORDER BY CAST(id AS INTEGER)")]
        assert kept == [1, 2.5, "1", "é", 1, None, '{"a":[1]}', "[1,2]", '["x"]', "[]"]

    asyncio.run(main())


def test_lists_of_numbers_are_vectors_of_floats() -> None:
    assert bound([1.0, 2]) == b"\x00\x00\x80?\x00\x00\x00@"
    assert bound([1, 2]) == "[1,2]"
    assert bound([True, 1.0]) == "[true,1.0]"


def test_names_are_quoted(file: Path) -> None:
    fields = [
        {"name": 'i"d', "expression": "key", "primary-key": True},
        {"name": "order", "expression": "value.text"},
    ]

    async def main() -> None:
        await store(context(file), document("a", "x", None), **{"fields": fields, "table-name": "group by"})
        assert rows(file, 'SELECT "i""d", "order" FROM "group by"') == [("a", "x")]

    asyncio.run(main())


def test_a_write_that_fails_fails_alone(file: Path) -> None:
    async def main() -> None:
        host = context(file)
        await store(host)
        rows(file, "CREATE UNIQUE INDEX texts ON documents (text)")
        async with running("vector-db-sink", TABLE, host) as sink:
            ended = await asyncio.gather(
                *(sink.write(document(str(n), text, None)) for n, text in enumerate("xxy")),
                return_exceptions=True,
            )
        assert [type(end) for end in ended] == [type(None), DatabaseError, type(None)]
        assert "UNIQUE constraint failed" in str(ended[1])
        assert [row[0] for row in rows(file)] == ["0", "2"]

    asyncio.run(main())


def test_writes_that_wait_share_a_commit(file: Path) -> None:
    """As many commits as records would take minutes: each waits for the disk."""

    async def main() -> None:
        commits = 0

        async with running("vector-db-sink", TABLE, context(file)) as sink:
            sink._datasource._connection.set_commit_hook(lambda: count())

            def count() -> bool:
                nonlocal commits
                commits += 1
                return False

            await asyncio.gather(*(sink.write(document(str(n), "x", [0.1] * 384)) for n in range(1000)))
        assert commits <= 8
        assert rows(file, "SELECT count(*) FROM documents") == [(1000,)]

    asyncio.run(main())


@pytest.mark.parametrize("primary", [True, False])
def test_keys_and_other_columns_are_both_needed(primary: bool) -> None:
    field = {"name": "id", "expression": "key", "primary-key": primary}
    with pytest.raises(ConfigurationError, match="primary-key"):
        asyncio.run(store(context(":memory:"), fields=[field]))


# --- queries ---------------------------------------------------------------------------------------

ONE: dict[str, Any] = {"datasource": "db", "query": "SELECT ? AS a, ? AS b", "output-field": "value.out"}
FIELDS = {"fields": ["value.x", "fn:uppercase(value.y)"]}
RECORD = Record('{"x":1,"y":"z"}', "k")


async def run_query(record: Record = RECORD, **more: Any) -> Any:
    return (await ask(context(":memory:"), record, {**ONE, **FIELDS, **more}))["out"]


def test_rows_are_maps_and_the_first_may_be_all() -> None:
    assert asyncio.run(run_query()) == [{"a": 1, "b": "Z"}]
    assert asyncio.run(run_query(**{"only-first": True})) == {"a": 1, "b": "Z"}
    empty = "SELECT 1 WHERE ? = ? AND 0"
    assert asyncio.run(run_query(query=empty)) == []
    assert asyncio.run(run_query(query=empty, **{"only-first": True})) == {}


def test_a_loop_gives_one_list() -> None:
    record = Record('{"items":[{"n":1},{"n":2}]}')
    loop = {"loop-over": "value.items", "fields": ["record.n"], "query": "SELECT ? AS n UNION ALL SELECT 0"}
    assert asyncio.run(run_query(record, **loop)) == [{"n": 1}, {"n": 0}, {"n": 2}, {"n": 0}]
    execute = {**loop, "mode": "execute", "query": "CREATE TABLE IF NOT EXISTS t AS SELECT ?1 AS n"}
    assert len(asyncio.run(run_query(record, **execute))) == 2
    assert asyncio.run(run_query(Record('{"items":null}'), **loop)) == []


def test_executing_counts_rows_and_gives_keys(file: Path) -> None:
    async def main() -> None:
        host = context(file)
        await store(host)
        rows(file, "CREATE TABLE log (id INTEGER PRIMARY KEY, text)")
        execute = {"mode": "execute", "output-field": "value.out", "datasource": "db", "fields": ["value.x"]}
        insert = {**execute, "query": "INSERT INTO log (text) VALUES (?)", "generated-keys": ["id"]}
        assert (await ask(host, RECORD, insert))["out"] == {"count": 1, "generatedKeys": {"id": 1}}
        assert (await ask(host, RECORD, insert))["out"]["generatedKeys"] == {"id": 2}
        delete = {**execute, "query": "DELETE FROM log WHERE id >= ?"}
        assert (await ask(host, RECORD, delete))["out"] == {"count": 2}

    asyncio.run(main())


def test_a_parameter_is_never_part_of_the_statement() -> None:
    record = Record(json.dumps({"x": "'; DROP TABLE t; --", "y": "?"}))
    assert asyncio.run(run_query(record)) == [{"a": "'; DROP TABLE t; --", "b": "?"}]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"query": "SELEC"}, "syntax error"),
        ({"query": "SELECT ?"}, "binding"),
        ({"query": "SELECT * FROM absent", "fields": []}, "no such table: absent"),
    ],
)
def test_a_statement_that_fails_is_the_records_error(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DatabaseError, match=f"the database 'db': .*{message}"):
        asyncio.run(run_query(**more))


@pytest.mark.parametrize(
    ("field", "loop"), [("'x'", None), ("record.n", None), ("value.x", "value.items"), ("key", "value.items")]
)
def test_a_field_that_reads_nothing_is_refused(field: str, loop: str | None) -> None:
    with pytest.raises(ConfigurationError, match="reads nothing"):
        asyncio.run(run_query(fields=[field], **{"loop-over": loop}))


def test_a_condition_spares_the_query() -> None:
    value = asyncio.run(ask(context(":memory:"), RECORD, {**ONE, "query": "SELEC", "when": "value.x == 2"}))
    assert value == {"x": 1, "y": "z"}


def test_a_cancelled_query_stops() -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT began() + ? UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    async def main() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def began() -> int:
            loop.call_soon_threadsafe(begun.set)
            return 0

        configuration = {**ONE, "query": endless, "fields": ["value.x"]}
        async with running("query", configuration, context(":memory:")) as agent:
            agent._datasource._connection.create_scalar_function("began", began, 0)
            asking = asyncio.ensure_future(results(agent, RECORD))
            await begun.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        # Closing has waited for the thread, so the statement has ended.

    asyncio.run(asyncio.wait_for(main(), 60))


# --- where the file is -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "shop.db"])
def test_the_file_is_in_the_state_folder(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_STATE", str(tmp_path))
    asyncio.run(store(context(path), document("a", "x", None)))
    assert len(rows(tmp_path / "databases" / (path or "db.db"))) == 1


def test_or_beside_the_agents_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEMILL_STATE", raising=False)
    asyncio.run(store(context("shop.db", state_directory=tmp_path / "agent"), document("a", "x", None)))
    assert len(rows(tmp_path / "databases" / "shop.db")) == 1


def test_without_a_folder_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEMILL_STATE", raising=False)
    with pytest.raises(ConfigurationError, match=r"'shop\.db' has no place"):
        asyncio.run(store(context("shop.db")))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"the database 'db': .*File exists"):
        asyncio.run(store(context(tmp_path / "file" / "shop.db")))


def test_several_processes_write_one_file(file: Path, tmp_path: Path) -> None:
    """They also make the file and the table at the same time."""
    writer = tmp_path / "writer.py"
    writer.write_text(_WRITER)
    resource = {"id": "db", "type": "datasource", "configuration": {"service": "sqlite", "path": str(file)}}
    told = json.dumps({"tests": str(Path(__file__).parents[3]), "table": TABLE, "resource": resource})
    processes = [subprocess.Popen([sys.executable, str(writer), told, str(number)]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert rows(file, "SELECT count(*), count(DISTINCT text) FROM documents") == [(60, 3)]


_WRITER = """\
import asyncio, json, sys
told, me = json.loads(sys.argv[1]), sys.argv[2]
sys.path.append(told["tests"])
from contract.context import TestContext, running
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

async def main():
    host = TestContext(resources={"db": ResourceSpec(**told["resource"])})
    async with running("vector-db-sink", told["table"], host) as sink:
        records = [Record(json.dumps({"text": me}), f"{me}-{n}") for n in range(20)]
        await asyncio.gather(*(sink.write(record) for record in records))

asyncio.run(main())
"""


# --- services --------------------------------------------------------------------------------------


def test_jdbc_serves_sqlite_urls(file: Path) -> None:
    async def main() -> None:
        configuration = {
            "service": "jdbc",
            "driverClass": "org.sqlite.JDBC",
            "url": f"jdbc:sqlite:{file}?x=1",
        }
        spec = ResourceSpec(id="db", type="datasource", configuration=configuration)
        host = TestContext(resources={"db": spec})
        with pytest.raises(DatabaseError, match="no such table: documents"):
            await store(host, document("a", "x", None))
        rows(file, "CREATE TABLE documents (id TEXT, text TEXT, embeddings BLOB)")
        await store(host, document("a", "x", [1.0]), document("a", "y", [1.0]))
        assert [row[:2] for row in rows(file)] == [("a", "y")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"service": "jdbc", "url": "jdbc:postgresql://x/y"}, "jdbc:sqlite:PATH|cannot be reached yet"),
        ({"service": "jdbc"}, "needs 'url'"),
        (
            {"service": "pinecone"},
            "the service pinecone, which cannot be reached yet; there are: jdbc, sqlite",
        ),
    ],
)
def test_what_cannot_be_reached_is_told(configuration: dict[str, Any], message: str) -> None:
    spec = ResourceSpec(id="db", type="datasource", configuration=configuration)
    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(ask(TestContext(resources={"db": spec}), RECORD))


def test_a_datasource_that_is_not_there() -> None:
    other = ResourceSpec(id="dbs", type="datasource", configuration={})
    model = ResourceSpec(id="db", type="open-ai-configuration", configuration={})
    with pytest.raises(NotFound) as caught:
        asyncio.run(ask(TestContext(resources={"dbs": other, "db": model}), RECORD))
    assert caught.value.known == ["dbs"]


@pytest.mark.parametrize("kind", ["query", "query-vector-db", "vector-db-sink"])
def test_the_declared_example_gives_the_declared_result(kind: str) -> None:
    found = declaration(kind)
    example = found.example
    assert example.record is not None

    async def main() -> list[Any]:
        host = TestContext(resources={spec.id: spec for spec in example.resources})
        async with running(found, example.configuration, host) as agent:
            if found.kind == "sink":
                await agent.write(example.record)
                return []
            return await results(agent, example.record)

    assert asyncio.run(main()) == example.results


def test_a_record_error_is_no_poison() -> None:
    assert issubclass(DatabaseError, RecordError)
    assert not DatabaseError.permanent
