"""Tidemill in an image: its own files and the packages that its agents need there.

Used by `build.py` and `dockerfile.py`. The files are those of the package that runs, installed or not;
the packages are what its metadata says, pinned to what is installed here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...application.plan import Plan
from ...functions.registry import declaration
from .faults import ImageError
from .oci import Platform
from .store import file_digest
from .wheels import Target, applicable

PACKAGE = Path(__file__).parents[2]
_DISTRIBUTION = "tidemill"
# Every application on a cluster has topics in Kafka: its setup and its gateways read and write them.
_ALWAYS = ("kafka",)
_ANY = Target(Platform("linux", "amd64"), "3.11")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an image needs of Tidemill: `roots` as pip takes them, `pins` with exact versions."""

    roots: tuple[str, ...]
    pins: tuple[str, ...]


def extras_of(plan: Plan) -> tuple[str, ...]:
    """The optional groups that the plan's agents need, sorted."""
    agents = (agent for unit in plan.units for agent in unit.spec.agents)
    found = (declaration(agent.type).extra for agent in agents)
    return tuple(sorted({*_ALWAYS, *(extra for extra in found if extra is not None)}))


def runtime(extras: Iterable[str], target: Target = _ANY) -> Runtime:
    """The core's and the extras' packages. Raises ImageError."""
    try:
        about = importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        hint = "pip install tidemill; in a clone: make install"
        raise ImageError("this Tidemill is not installed, so its packages are unknown", hint=hint) from None
    known = {extra.lower() for extra in about.metadata.get_all("Provides-Extra") or ()}
    if unknown := sorted(set(extras) - known):
        hint = "install Tidemill again: pip install -U tidemill; in a clone: make install"
        raise ImageError(f"this installation of Tidemill does not know its extra '{unknown[0]}'", hint=hint)
    texts = about.requires or []
    roots = sorted({str(each) for extra in ("", *extras) for each in applicable(texts, extra, target)})
    return Runtime(tuple(roots), tuple(sorted(_pins(roots, target))))


def _pins(roots: Iterable[str], target: Target) -> Iterator[str]:
    """`name==version` for what of it is installed here, however deep."""
    waiting = applicable(roots, "", target)
    seen: set[tuple[str, str]] = set()
    named: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        try:
            found = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if requirement.name.lower() not in named:
            named.add(requirement.name.lower())
            yield f"{requirement.name.lower()}=={found.version}"
        for extra in {"", *requirement.extras} - {extra for name, extra in seen if name == requirement.name}:
            seen.add((requirement.name, extra))
            waiting += applicable(found.requires or (), extra, target)


def package_files() -> list[Path]:
    """The package's files, relative to it: Python files of folders that are packages, and `py.typed`."""
    return sorted(path.relative_to(PACKAGE) for path in (*_walk(PACKAGE), PACKAGE / "py.typed"))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.suffix == ".py":
            yield path
        elif (path / "__init__.py").is_file():
            yield from _walk(path)


def package_key() -> str:
    found = (f"{file}:{file_digest(PACKAGE / file)}" for file in package_files())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def copy_package(folder: Path) -> None:
    """The package as `folder/tidemill`."""
    for file in package_files():
        target = folder / "tidemill" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / file, target)
