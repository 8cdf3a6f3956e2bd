"""The pages of the project: what they name exists, and what they show works."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from tidemill.application.planner import plan_directory
from tidemill.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TOP = {place.name for place in ROOT.iterdir()} | {".venv", ".cache"}

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PLACE = re.compile(r"([\w./-]+\.py):([A-Za-z_][\w.]*)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@cache
def names_in(file: Path) -> frozenset[str]:
    """Classes, functions and tables of a module, and the methods of its classes as Class.method."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                found.add(target.id)
        if isinstance(node, ast.ClassDef):
            inner = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}.{item.name}" for item in inner)
    return frozenset(found)


def headings(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name} links to {target}"
        assert not anchor or anchor in headings(place), f"{name} links to {target}"


@pytest.mark.parametrize("name", NAMES)
def test_named_files_and_functions_exist(name: str) -> None:
    for code in _CODE.findall(_FENCE.sub("", (ROOT / name).read_text())):
        place = _PLACE.fullmatch(code)
        path = place[1] if place else code
        if not re.fullmatch(r"\.?[\w./-]+(\.py|\.md|\.toml|/)", path) or path.startswith("/"):
            continue
        if path.split("/")[0] in TOP:
            assert (ROOT / path).exists() or path.startswith((".venv", ".cache")), f"{name} names {code}"
        if place:
            assert (ROOT / path).is_file(), f"{name} names {code}"
            assert place[2] in names_in(ROOT / path), f"{name} names {code}"


def test_the_architecture_names_enough_to_be_worth_checking() -> None:
    assert len(_PLACE.findall((ROOT / "ARCHITECTURE.md").read_text())) > 50
    assert len(_PLACE.findall((ROOT / "docs" / "delivery.md").read_text())) > 40


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = re.findall(r"(?:^\$ |`)make ([a-z]+)", text, re.MULTILINE)
    assert set(made) <= targets
    called = re.findall(r"(?:^\$ |`)(?:\.venv/bin/)?tidemill ([a-z]+)", text, re.MULTILINE)
    assert set(called) <= set(COMMANDS)


def test_ci_runs_lint_and_the_test_command_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    assert "$ make test" in (ROOT / "README.md").read_text()
    assert re.search(r"^make lint$", ci, re.MULTILINE)
    assert re.search(r"^make test$", ci, re.MULTILINE)


def test_the_pipeline_of_the_readme_is_an_application(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(shown.splitlines()) <= 14
    assert yaml.safe_load(shown)["pipeline"]
    (tmp_path / "pipeline.yaml").write_text(shown)
    (unit,) = plan_directory(tmp_path).units
    assert [agent.type for agent in unit.spec.agents] == ["document-to-json", "ai-chat-completions"]
