"""The wheels that an image needs, resolved by pip for the image's platform.

Used by `build.py`. What Tidemill needs is pinned to the versions that are installed here, so an image
runs what ran on this machine. pip evaluates the markers of the machine it runs on; `_closure` evaluates
those of the image and asks again for what is missing. A resolution is remembered by what was asked.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MissingExtra, UsageError
from .faults import ImageError
from .oci import Platform
from .store import Store, file_digest, write

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = range(36, 4, -1)  # 2.36 is Debian 12's; base images in use are not older than that
_ROUNDS = 4  # of asking for what pip left out; each one finds what the one before needs


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit."""

    platform: Platform
    python: str

    @property
    def machine(self) -> str:
        try:
            return _MACHINES[self.platform.architecture]
        except KeyError:
            known = ", ".join(f"linux/{name}" for name in _MACHINES)
            raise UsageError(f"no image can be built for {self.platform}", hint=f"one of {known}") from None


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the store; `name` is that of its distribution, in normal form."""

    name: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Question:
    """What to resolve: `roots` with `pins` for the runtime, and the user's file of requirements."""

    roots: tuple[str, ...]
    pins: tuple[str, ...]
    requirements: Path | None
    target: Target


@dataclass(frozen=True, slots=True)
class Answer:
    """Wheels of the runtime and those that only the user's requirements ask for."""

    runtime: tuple[Wheel, ...]
    user: tuple[Wheel, ...]


def wheel_path(store: Store, wheel: Wheel) -> Path:
    return store.root / "wheels" / wheel.sha256 / wheel.file


def resolve(question: Question, store: Store, *, refresh: bool = False) -> Answer:
    """The wheels. Raises ImageError with pip's reason."""
    place = store.root / "resolved" / _key(question)
    wheels = None if refresh else _remembered(place, store)
    if wheels is None:
        wheels = _resolve(question, store)
        write(place, json.dumps([[wheel.name, wheel.file, wheel.sha256] for wheel in wheels]).encode())
    runtime, _ = _closure(question.roots, wheels, question.target, store)
    return Answer(
        tuple(wheel for wheel in wheels if wheel.name in runtime),
        tuple(wheel for wheel in wheels if wheel.name not in runtime),
    )


def _key(question: Question) -> str:
    target = question.target
    asked = [target.machine, target.python, question.roots, question.pins, requirements_text(question)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _remembered(place: Path, store: Store) -> list[Wheel] | None:
    try:
        wheels = [Wheel(*entry) for entry in json.loads(place.read_bytes())]
    except (OSError, ValueError):
        return None
    return wheels if all(wheel_path(store, wheel).is_file() for wheel in wheels) else None


def _resolve(question: Question, store: Store) -> list[Wheel]:
    """With our pins unless the user's requirements contradict them: theirs come first."""
    try:
        return _complete(question, question.pins, store)
    except ImageError:
        if question.requirements is None or not question.pins:
            raise
        return _complete(question, (), store)


def _complete(question: Question, pins: Sequence[str], store: Store) -> list[Wheel]:
    roots = question.roots
    for _ in range(_ROUNDS):
        wheels = _download(question, roots, pins, store)
        every = (*roots, *(wheel.name for wheel in wheels))
        _, missing = _closure(every, wheels, question.target, store)
        if not missing:
            return wheels
        roots = (*roots, *missing)
    raise ImageError(f"pip does not bring what the image needs: {', '.join(missing)}")


def _download(question: Question, roots: Sequence[str], pins: Sequence[str], store: Store) -> list[Wheel]:
    with tempfile.TemporaryDirectory(prefix="tidemill-wheels-") as folder:
        place = Path(folder)
        constraints = place / "constraints.txt"
        constraints.write_text("".join(f"{pin}\n" for pin in pins))
        words = [*_target_words(question.target), "--constraint", str(constraints), *roots]
        if question.requirements is not None:
            words += ["--requirement", str(question.requirements)]
        if len(words) > len(_target_words(question.target)) + 2:
            _pip([*words, "--dest", str(place / "wheels")], question)
        found = sorted((place / "wheels").glob("*.whl"))
        return [_keep(file, store) for file in found]


def _target_words(target: Target) -> list[str]:
    """pip takes a tag as it is: every glibc that the image has is named, newest first."""
    machine = target.machine
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    words = ["--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}"]
    return [*words, *(f"--platform={tag}" for tag in tags)]


def _pip(words: Sequence[str], question: Question) -> None:
    if importlib.util.find_spec("pip") is None:
        raise MissingExtra("pip", "knative", "tidemill image build")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise _explained(done.stderr, question)


def _explained(text: str, question: Question) -> ImageError:
    """pip's own words, and what helps with the two failures that are common."""
    lines = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    reason = " ".join(lines[-2:]) or text.strip()[-500:] or "pip gave no reason"
    where = f"{question.target.platform}, Python {question.target.python}"
    absent = re.search(r"No matching distribution found for ([^\s;(]+)", text)
    hint = "see 'pip download' for the reason, and python/requirements.txt for what was asked"
    if absent:
        hint = (
            f"if {absent[1]} exists but has no wheel for it: build one with 'pip wheel {absent[1]} -w DIR' "
            "on such a machine and set PIP_FIND_LINKS=DIR; or put its files into python/lib"
        )
    return ImageError(f"the packages of the image ({where}) cannot be resolved: {reason}", hint=hint)


def _keep(file: Path, store: Store) -> Wheel:
    from packaging.utils import canonicalize_name

    wheel = Wheel(str(canonicalize_name(file.name.split("-")[0])), file.name, file_digest(file))
    place = wheel_path(store, wheel)
    if not place.is_file():
        write(place, file.read_bytes())
    return wheel


def _closure(
    roots: Iterable[str], wheels: Sequence[Wheel], target: Target, store: Store
) -> tuple[set[str], list[str]]:
    """Names of the wheels that `roots` need on the target, and what they need that is not there."""
    from packaging.requirements import Requirement

    by_name = {wheel.name: wheel for wheel in wheels}
    found: set[tuple[str, str]] = set()
    missing: dict[str, None] = {}
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = _normal(requirement)
        if name not in by_name:
            missing[str(requirement)] = None
            continue
        for extra in {"", *requirement.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            waiting += _needs(wheel_path(store, by_name[name]), extra, target)
    return {name for name, _ in found}, list(missing)


def _normal(requirement: Requirement) -> str:
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(requirement.name))


def _needs(file: Path, extra: str, target: Target) -> list[Requirement]:
    return applicable(_required_by(file), extra, target)


@cache
def _required_by(file: Path) -> tuple[str, ...]:
    with zipfile.ZipFile(file) as archive:
        (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return tuple(HeaderParser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", []))


def applicable(texts: Iterable[str], extra: str, target: Target) -> list[Requirement]:
    """The requirements whose marker holds in the image, without the marker."""
    from packaging.requirements import Requirement

    environment = {**_marker_environment(target), "extra": extra}
    found = []
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found.append(requirement)
    return found


def _marker_environment(target: Target) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }


def requirements_text(question: Question) -> list[str]:
    """The user's requirements with the files that they include."""
    return _texts(question.requirements, set()) if question.requirements is not None else []


def _texts(file: Path, seen: set[Path]) -> list[str]:
    if file in seen:
        return []
    seen.add(file)
    try:
        text = file.read_text()
    except OSError as error:
        raise ImageError(f"cannot read {file}: {error.strerror}") from error
    if "--hash" in text:
        raise ImageError(
            f"{file} asks for hashes, which cannot be kept for Tidemill's own packages",
            hint="remove --hash: versions with '==' are kept, and the image has a digest itself",
        )
    included = re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", text, re.MULTILINE)
    return [text, *(part for name in included for part in _texts(file.parent / name, seen))]
