"""`tidemill agent` and the pages that are made of the declarations.

`TIDEMILL_WRITE_GOLDEN=1 pytest …` writes the pages anew; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

import tidemill
from tidemill.application import plan_directory
from tidemill.cli import reference
from tidemill.cli.main import main
from tidemill.functions.registry import AGENTS, declaration

DOCS = Path(tidemill.__path__[0]) / "docs"
TYPES = sorted({declaration(name).type for name in AGENTS})


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[str, str]:
    assert main(["agent", *words]) == status
    found = capsys.readouterr()
    return found.out, found.err


def test_list_has_every_type_and_alias(capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = said(capsys, "list")
    assert [line.split()[0] for line in text.splitlines()] == sorted(AGENTS)
    rows = json.loads(said(capsys, "list", "-o", "json")[0])
    assert len(rows) == 38
    assert {row["type"] for row in rows} == set(AGENTS)
    assert {row["tested"] for row in rows} == {"real", "stand-in", "plan only"}
    assert [row["alias-of"] for row in rows if row["type"] == "python-function"] == ["python-processor"]


@pytest.mark.parametrize("name", AGENTS)
def test_describe(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text, _ = said(capsys, "describe", name)
    assert text == (DOCS / "agents" / f"{declaration(name).type}.md").read_text()
    found = json.loads(said(capsys, "describe", name, "-o", "json")[0])
    assert found["type"] == declaration(name).type
    assert found["configuration"]["$defs"] is not None


def test_an_unknown_type_ends_with_1_and_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "describe", "text-spliter", status=1)
    assert out == ""
    assert "did you mean 'text-splitter'?" in err


@pytest.mark.parametrize("name", TYPES)
def test_the_example_of_a_page_plans(name: str, tmp_path: Path) -> None:
    files = reference.example(declaration(name))
    for file, content in files.items():
        (tmp_path / file).write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    [unit] = plan_directory(tmp_path, name="example").units
    assert [agent.type for agent in unit.spec.agents] == [name]


def test_the_pages_are_those_of_the_declarations() -> None:
    pages = reference.pages()
    if os.environ.get("TIDEMILL_WRITE_GOLDEN"):
        reference.write(DOCS)
    there = {
        str(path.relative_to(DOCS)) for folder in ("agents", "schemas") for path in (DOCS / folder).iterdir()
    }
    assert there == set(pages), "run: python -m tidemill.cli.reference docs"
    for name, content in pages.items():
        assert (DOCS / name).read_text() == content, f"{name}: run python -m tidemill.cli.reference docs"


@pytest.mark.parametrize("name", TYPES)
def test_a_page_tells_every_property_once(name: str) -> None:
    found: Any = declaration(name)
    listed = [shown for shown, _, _ in reference.properties(found.config)]
    assert len(listed) == len(set(listed))
    top = {field.alias or key for key, field in found.config.model_fields.items()}
    assert top <= set(listed)
