"""Broken applications: every problem, in order, with its position, reason and hint.

A case in `broken/` is the files of an application (`=== name`; `../instance.yaml` and
`../secrets.yaml` are given with -i and -s; `=== strict` asks for --strict) and after `=== problems`
what must be said: `file:line:column: beginning of the message`, and below it `why:` and `try:`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidemill.application.planner import plan_directory
from tidemill.cli.problems import words
from tidemill.errors import ApplicationError, Problem

CASES = sorted((Path(__file__).parent / "broken").glob("*.case"))
SECRET = "hunter2-secret"


def read_case(path: Path) -> dict[str, str]:
    parts = re.split(r"^=== (.*)\n", path.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def fail(folder: Path, sections: dict[str, str]) -> ApplicationError:
    outside = {name: folder / f"../{name}.yaml" for name in ("instance", "secrets")}
    given = {name: path for name, path in outside.items() if f"../{name}.yaml" in sections}
    with pytest.raises(ApplicationError) as caught:
        plan_directory(folder, strict="strict" in sections, **given)
    return caught.value


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_broken_application(path: Path, write) -> None:
    sections = read_case(path)
    expected = sections.pop("problems").splitlines()
    folder = write({name: text for name, text in sections.items() if name != "strict"})
    error = fail(folder, sections)
    remaining = iter(expected)
    line = next(remaining)
    for problem in error.problems:
        said, *more = _lines(problem, folder)
        assert said.startswith(line)
        line = next(remaining, "")
        while line.startswith("  "):
            assert line in more
            line = next(remaining, "")
    assert line == "", "expected another problem"
    shown = words(error)
    assert SECRET not in shown
    _check_carets(error, shown)


def _lines(problem: Problem, folder: Path) -> list[str]:
    lines = [f"{problem.at or '-'}: {problem.message}", f"  why: {problem.why}", f"  try: {problem.hint}"]
    return [line.replace(f"{folder}/", "").replace(str(folder), "DIR") for line in lines]


def _check_carets(error: ApplicationError, shown: str) -> None:
    """Every problem shows its line, except in files of secrets and where there is none."""
    for problem in error.problems:
        at = problem.at
        if at and at.text.strip():
            line = Path(at.file).read_text().splitlines()[at.line - 1]
            assert at.text == line or (SECRET in line and "***" in at.text)
            assert (
                f"| {at.text.expandtabs(1)}\n  {' ' * len(str(at.line))} | {' ' * (at.column - 1)}^" in shown
            )
        else:
            assert at is None or Path(at.file).name in (
                "secrets.yaml",
                "instance.yaml",
                "sources.yaml",
                "pipeline.yaml",
            )
