"""The agent contract for every row of the registry table, and the table against the folder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from contract.agent_contract import APPLICATION, Case, Check, checks
from contract.context import clean_imports

import tidemill.functions.agents
from tidemill.errors import NotFound
from tidemill.functions.api import Declaration
from tidemill.functions.registry import AGENTS, declaration

FOLDER = Path(next(iter(tidemill.functions.agents.__path__)))


def _types() -> list[str]:
    """A row that cannot be imported fails its own test below, and not the collection of all."""
    found = set()
    for name in AGENTS:
        with suppress(ImportError):
            found.add(declaration(name).type)
    return sorted(found)


TYPES = _types()
HEAVY = "openai boto3 kubernetes onnxruntime xllamacpp tiktoken tokenizers kreuzberg numpy lingua apsw flask"


@pytest.mark.parametrize(
    ("name", "check"), [(name, check) for name in TYPES for check in checks(declaration(name))]
)
def test_contract(name: str, check: Check, tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):  # an agent that hangs fails here, and not the whole suite
            await check(Case(declaration(name), tmp_path))

    with clean_imports(APPLICATION):
        asyncio.run(run())


# --- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_every_row_resolves_to_its_type_or_alias(name: str) -> None:
    found = declaration(name)
    assert isinstance(found, Declaration)
    assert name == found.type or name in found.aliases


def test_every_alias_has_a_row() -> None:
    for name in TYPES:
        assert all(declaration(alias) is declaration(name) for alias in declaration(name).aliases)


def test_every_module_has_a_row() -> None:
    modules = {
        ".".join(("agents", *file.relative_to(FOLDER).with_suffix("").parts))
        for file in FOLDER.glob("*/*.py")
        if not file.name.startswith("_")
    }
    assert modules == {target.partition(":")[0] for target in AGENTS.values()}


def test_the_table_is_in_order() -> None:
    assert list(AGENTS) == sorted(AGENTS)


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        declaration("text-spliter")
    assert caught.value.hint == "did you mean 'text-splitter'?"


@pytest.mark.parametrize("name", TYPES)
def test_declarations_say_what_readers_need(name: str) -> None:
    found = declaration(name)
    assert found.summary.endswith(".")
    assert (found.example.record is None) == (found.kind in ("source", "service"))


def test_the_declarations_import_nothing_heavy() -> None:
    code = "import sys; from tidemill.functions.registry import AGENTS, declaration\n"
    code += "for name in AGENTS: declaration(name)\n"
    code += f"print([name for name in {HEAVY.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
