"""Who imports whom: the order of the rooms, the tables that are resolved late, and what a unit pays for."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tidemill.functions.registry import AGENTS
from tidemill.functions.unit import AgentSpec, UnitSpec, write_unit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
MODULES = sorted(
    file
    for room in LAYERS
    for place in [ROOT / room.removeprefix("tidemill.")]
    for file in ([place.with_suffix(".py")] if not place.is_dir() else place.rglob("*.py"))
)

# What a unit must not carry along for others: SDKs, servers of others, and what only commands use.
FOREIGN = {
    "apsw", "boto3", "botocore", "cyclopts", "flask", "functions_framework", "httpx", "kafka", "kreuzberg",
    "kubernetes", "lingua", "numpy", "onnxruntime", "openai", "rich", "tiktoken", "tokenizers", "watchfiles",
    "xllamacpp", "yaml",
}  # fmt: skip
MOST_MODULES = 360  # 303 for identity on Python 3.11, of which 28 are ours

START_A_UNIT = """
import asyncio, json, sys
from tidemill.functions import serve, worker
from tidemill.functions.environment import from_variables
from tidemill.functions.host import Host
from tidemill.record import Record, to_event

async def main():
    environment = from_variables()
    host = Host(environment.read_unit(), environment, serve.NoPublisher())
    await host.start()
    result = host.handle(to_event(Record("hello"), id="1", source="/test"), "in", 0)
    assert result.outputs[0][1].data == b"hello", result

asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""
IMPORT_AGENTS = """
import json, sys
from tidemill.functions.registry import AGENTS, declaration
for name in AGENTS:
    declaration(name)
print(json.dumps(sorted(sys.modules)))
"""


class Row(NamedTuple):
    """One entry of a table of strings that is resolved when it is needed."""

    table: str
    holder: str  # the module that has the table
    module: str
    attribute: str


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("tidemill", *parts)).removesuffix(".__init__")


def rows() -> Iterator[Row]:
    """Every "module:attribute" in a dictionary at the top of a module."""
    for file in MODULES:
        for statement in ast.parse(file.read_text()).body:
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Dict):
                target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target  # type: ignore[attr-defined]
                yield from _rows_of(file, ast.unparse(target), value)


def _rows_of(file: Path, table: str, values: ast.Dict) -> Iterator[Row]:
    holder = module_name(file)
    package = holder if file.name == "__init__.py" else holder.rpartition(".")[0]
    for node in ast.walk(values):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.fullmatch(r"([a-z_][\w.]*):([A-Za-z_]\w*)", node.value)
            if found:
                module = found[1] if found[1].startswith("tidemill.") else f"{package}.{found[1]}"
                yield Row(f"{file.relative_to(ROOT)}:{table}", holder, module, found[2])


def layer(module: str) -> int:
    """How far down the list of rooms a module is."""
    return next(number for number, room in enumerate(LAYERS) if f"{module}.".startswith(f"{room}."))


def modules_after(program: str, **variables: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


ROWS = list(rows())


def test_the_contract_names_every_room() -> None:
    packages = {place.parent.name for place in ROOT.glob("*/__init__.py")}
    single = {file.stem for file in ROOT.glob("*.py")} - {"__init__"}
    assert {f"tidemill.{name}" for name in packages | single} == set(LAYERS)


def test_imports_go_down_the_rooms() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_tables_are_found() -> None:
    assert {"functions/registry.py:AGENTS", "cli/main.py:COMMANDS"} <= {row.table for row in ROWS}
    assert sum(row.table == "functions/registry.py:AGENTS" for row in ROWS) == len(AGENTS)


@pytest.mark.parametrize("table", sorted({row.table for row in ROWS}))
def test_a_table_resolves_and_points_down(table: str) -> None:
    for row in ROWS:
        if row.table == table:
            assert hasattr(import_module(row.module), row.attribute), row
            assert layer(row.module) >= layer(row.holder), row


def test_a_program_started_by_name_exists_and_lies_below() -> None:
    started = [
        (module_name(file), after.value)
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List)
        for before, after in zip(node.elts, node.elts[1:], strict=False)
        if isinstance(before, ast.Constant) and before.value == "-m" and isinstance(after, ast.Constant)
    ]
    assert ("tidemill.local.parent", "tidemill.functions.worker") in started
    for holder, program in started:
        if str(program).startswith("tidemill."):
            assert find_spec(str(program)) is not None, program
            assert layer(str(program)) >= layer(holder), (holder, program)


def test_a_unit_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    file = tmp_path / "unit.json"
    unit = UnitSpec(id="u", kind="processor", agents=(AgentSpec(id="a", type="identity"),), output="out")
    file.write_bytes(write_unit(unit))
    modules = modules_after(START_A_UNIT, TIDEMILL_UNIT=str(file))
    ours = {name for name in modules if name.startswith("tidemill")}
    print(f"a unit with 'identity' imports {len(modules)} modules, {len(ours)} of them ours")
    assert not modules & FOREIGN
    assert not {name for name in ours if layer_of(name) in ("cli", "local", "knative", "application")}
    assert not {name for name in ours if ".agents." in name and "flow" not in name}
    assert len(modules) <= MOST_MODULES


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_no_agents_module_imports_an_sdk() -> None:
    assert not modules_after(IMPORT_AGENTS) & FOREIGN
