"""Whole applications and their plans, in the shapes that users write.

`TIDEMILL_WRITE_GOLDEN=1 pytest …` writes the plans anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidemill.application import plan_directory
from tidemill.application.plan import write_plan

CASES = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_plan(case: Path) -> None:
    outside = {name: case / f"{name}.yaml" for name in ("instance", "secrets")}
    given = {name: path for name, path in outside.items() if path.exists()}
    written = write_plan(plan_directory(case / "application", name=case.name, **given)).decode() + "\n"
    golden = case / "plan.json"
    if os.environ.get("TIDEMILL_WRITE_GOLDEN"):
        golden.write_text(written)
    assert written == golden.read_text()
    assert "planted-value" not in written
