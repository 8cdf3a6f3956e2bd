"""A base image of this machine's own Python, for tests that start what was built.

Debian's python3.11 with its library and every shared object that it loads, in Debian's places, and nothing
else: `python` on PATH, no shell. Like official images it says PYTHON_VERSION.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pip

SYSTEM_PYTHON = Path("/usr/bin/python3.11")
_LIBRARY = Path("/usr/lib/python3.11")


def fill(root: Path) -> None:
    """The base's files below `root`."""
    for folder in ("usr/bin", "usr/lib", "tmp", "etc"):
        (root / folder).mkdir(parents=True)
    shutil.copy(SYSTEM_PYTHON, root / "usr/bin/python3.11")
    (root / "usr/bin/python").symlink_to("python3.11")
    leave_out = shutil.ignore_patterns("test", "tests", "idlelib", "__pycache__", "lib2to3", "config-*")
    shutil.copytree(_LIBRARY, root / "usr/lib/python3.11", ignore=leave_out, symlinks=False)
    for library in _libraries():
        place = root / library.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)  # a link's content under the link's name
    (root / "etc/passwd").write_text("root:x:0:0::/:/none\n")


def fill_with_pip(root: Path) -> None:
    """With what a Dockerfile needs besides: a shell and pip."""
    fill(root)
    (root / "bin").mkdir()
    shutil.copy("/bin/sh", root / "bin/sh")
    shutil.copytree(Path(pip.__file__).parent, root / "usr/lib/python3.11/pip")


def _libraries() -> set[Path]:
    """What the interpreter, its modules and the wheels of C and C++ need: by ldd."""
    objects = [SYSTEM_PYTHON, *(_LIBRARY / "lib-dynload").glob("*.so")]
    shown = subprocess.run(["ldd", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    found = {Path(name) for name in re.findall(r"(/\S+) \(0x", shown)}
    place = next(path for path in found if path.name == "libc.so.6").parent
    more = ("libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")
    extra = {path for name in more for path in (place / name, Path("/usr", *place.parts[1:], name))}
    return found | {path for path in extra if path.exists()}


def configuration() -> dict[str, object]:
    version = subprocess.run([SYSTEM_PYTHON, "--version"], capture_output=True, text=True, check=True).stdout
    return {"Env": ["PATH=/usr/bin", f"PYTHON_VERSION={version.split()[1]}"], "Cmd": ["python"]}
