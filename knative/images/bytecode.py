"""Compiled bytecode for a tree of Python files: hash-based and never checked, so time does not matter.

Used by `build.py`. An interpreter of the image's own minor version compiles, without site, with a fixed
hash seed and one process for each folder at the top: what a compiler leaves in a file depends on what the
process compiled before, and so that is always the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .faults import ImageError

_COMPILE = """
import json, py_compile, sys
failed = []
for file, shown in json.load(sys.stdin):
    try:
        py_compile.compile(file, dfile=shown, doraise=True, optimize=0,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except py_compile.PyCompileError as error:
        at = error.exc_value
        failed.append([shown, getattr(at, "lineno", None) or 1, getattr(at, "msg", None) or str(at)])
    except (ValueError, RecursionError) as error:
        failed.append([shown, 1, str(error)])
json.dump(failed, sys.stdout)
"""
_ASK = "import json, sys; print(json.dumps([sys.executable, sys.version]))"
# All that a compile process gets of an environment. The seed orders the sets among constants.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python on this machine that compiles for images of its minor version; `build` is what it is."""

    program: str
    minor: str
    build: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that is not valid Python; `file` as in the image."""

    file: str
    line: int
    message: str


def find_interpreter(minor: str) -> Interpreter:
    """The interpreter for images with that Python, as `3.11`. Raises ImageError."""
    if minor == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Interpreter(sys.executable, minor, sys.version)
    program = shutil.which(f"python{minor}")
    if program is not None:
        done = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found, build = json.loads(done.stdout)
            return Interpreter(found, minor, build)
    raise ImageError(
        f"the base image has Python {minor}, and no python{minor} is here to compile bytecode for it",
        hint=f"install python{minor}, or take a base image with Python "
        f"{sys.version_info.major}.{sys.version_info.minor}",
    )


def compile_tree(root: Path, interpreter: Interpreter) -> list[Failure]:
    """Writes `__pycache__` beside every .py file below `root`, which stands for the image's root."""
    groups = list(_groups(root))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda files: _compile(root, files, interpreter), groups)
        return [failure for failures in found for failure in failures]


def _groups(root: Path) -> Iterator[list[Path]]:
    """The work of one process each: what lies in one folder, down to four levels (a package)."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in sorted(root.rglob("*.py")):
        if file.is_file() and not file.is_symlink():
            groups.setdefault(file.relative_to(root).parent.parts[:4], []).append(file)
    yield from groups.values()


def _compile(root: Path, files: Sequence[Path], interpreter: Interpreter) -> list[Failure]:
    work = [(str(file), f"/{file.relative_to(root).as_posix()}") for file in files]
    done = subprocess.run(
        [interpreter.program, "-S", "-s", "-P", "-c", _COMPILE],
        input=json.dumps(work),
        cwd="/",
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ImageError(f"{interpreter.program} could not compile bytecode: {done.stderr.strip()[-500:]}")
    return [Failure(*failure) for failure in json.loads(done.stdout)]
