"""Each peer in an environment of its own, below `.cache/bench`, made at its first use.

What a row compares is what a user would install: no peer sees Tidemill's packages or another peer's,
and Tidemill, where it stands alone as in a container, has its core dependencies and no more. Bytecode
is compiled for all.
"""

from __future__ import annotations

import compileall
import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
CACHE = ROOT / ".cache" / "bench"

REQUIREMENTS = {
    "uvicorn": ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "orjson==3.13.0"),
    "func-python": ("func-python==0.8.1",),
    "functions-framework": ("functions-framework==3.10.2", "cloudevents==1.12.0"),
}


def python_of(peer: str) -> Path:
    """The interpreter of the peer's environment."""
    wanted = REQUIREMENTS[peer]
    digest = hashlib.sha256("\n".join((sys.version, *wanted)).encode()).hexdigest()[:8]
    folder = CACHE / f"{peer}-{digest}"
    stamp = folder / ".installed"
    if not stamp.exists():
        _install(folder, wanted)
        stamp.touch()
    return folder / "bin" / "python"


def tidemill_python() -> Path:
    """An interpreter that finds Tidemill in a folder of its path, as it finds an installed wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    REQUIREMENTS["tidemill"] = tuple(project["project"]["dependencies"])
    python = python_of("tidemill")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    if not (packages / "tidemill").exists():
        (packages / "tidemill").symlink_to(ROOT, target_is_directory=True)
    return python


def _install(folder: Path, wanted: tuple[str, ...]) -> None:
    print(f"installing {', '.join(wanted)} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    base = Path(sys.executable).resolve()
    subprocess.run([base, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *wanted], check=True)


def compile_everything() -> None:
    """Bytecode of Tidemill and of the peers' handlers, as an image has it."""
    for room in ("functions", "local", "brokers", "triggers", "application", "knative", "cli"):
        compileall.compile_dir(ROOT / room, quiet=1)
    for file in ROOT.glob("*.py"):
        compileall.compile_file(file, quiet=1)
    compileall.compile_dir(PEERS, quiet=1)
