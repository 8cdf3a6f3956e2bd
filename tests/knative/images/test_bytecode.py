"""Compiled files: of the right Python, never checked, the same each time, and errors where the user looks."""

from __future__ import annotations

import importlib.util
import marshal
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.knative.images import bytecode
from tidemill.knative.images.bytecode import Failure, find_interpreter
from tidemill.knative.images.faults import ImageError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# Constants of many kinds, sets among them: their order is where compilers differ from run to run.
MODULE = """
import os
NAMES = {"a", "b", "c", "delta", "echo", "fox", "golf"}
def f(x, y="default", *, z=("t", 1, 2.5, None)):
    return x in {"one", "two", "three", "four", "five", 6, 7} and f"{x}{y}{z}" in frozenset(NAMES)
class C:
    one: int = 1
    def m(self): return [self.one for _ in range(3)]
"""


def compiled(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*.pyc"))}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree" / "opt" / "package"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(MODULE)
    return tmp_path / "tree"


def test_files_are_hash_based_unchecked_and_name_the_image(tree: Path) -> None:
    assert bytecode.compile_tree(tree, find_interpreter(HERE)) == []
    found = compiled(tree)
    tag = sys.implementation.cache_tag
    assert set(found) == {f"opt/package/__pycache__/{name}.{tag}.pyc" for name in ("one", "two")}
    for name, content in found.items():
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(content[4:8], "little") == 0b01, name  # hash-based, and not to be checked
        assert marshal.loads(content[16:]).co_filename == f"/opt/package/{Path(name).name.split('.')[0]}.py"


def test_the_same_source_compiles_to_the_same_bytes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "elsewhere-with-another-name"
    shutil.copytree(tree, copy)
    bytecode.compile_tree(tree, find_interpreter(HERE))
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    monkeypatch.chdir(tmp_path)
    bytecode.compile_tree(copy, find_interpreter(HERE))
    assert compiled(tree) == compiled(copy)
    assert len(compiled(tree)) == 2


def test_python_takes_them_without_looking_at_the_source(tree: Path) -> None:
    bytecode.compile_tree(tree, find_interpreter(HERE))
    (tree / "opt/package/one.py").write_text("NAMES = 'not this'\n")
    code = "import one; print(sorted(one.NAMES)[0])"
    where = tree / "opt" / "package"
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True, check=True)
    assert done.stdout == "a\n"


def test_what_is_no_python_is_told_with_its_line(tree: Path) -> None:
    (tree / "opt/package/bad.py").write_text("x = 1\ndef f(:\n")
    (tree / "opt/package/zero.py").write_bytes(b"x = 1\0\n")
    bad, zero = bytecode.compile_tree(tree, find_interpreter(HERE))
    assert bad == Failure("/opt/package/bad.py", 2, "invalid syntax")
    assert zero.file == "/opt/package/zero.py"
    assert len(compiled(tree)) == 2


def test_another_minor_version_needs_that_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"has Python 3\.99, and no python3\.99 is here") as caught:
        find_interpreter("3.99")
    assert HERE in str(caught.value.hint)


def test_another_minor_version_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_interpreter("3.99")
    assert found.minor == "3.99"
    assert found.build == sys.version
