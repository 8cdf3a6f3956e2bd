"""Which files of an application go into its image.

Used by `build.py`. All but what a pod gets from its plan (the YAML files at the top: an image that held
them would change with every prompt), what is hidden at the top, caches, and what `.langstreamignore`
names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import MissingExtra
from .faults import ImageError
from .store import file_digest

IGNORE = ".langstreamignore"
_NEVER = {"__pycache__", ".git", ".tidemill", ".venv"}


def application_files(directory: Path) -> list[Path]:
    """Paths relative to the folder, sorted."""
    ignored = _ignored(directory)
    return sorted(path.relative_to(directory) for path in _walk(directory, directory, ignored))


def application_key(directory: Path) -> str:
    found = hashlib.sha256()
    for file in application_files(directory):
        path = directory / file
        link = path.is_symlink()
        content = os.readlink(path) if link else file_digest(path)
        executable = not link and bool(path.stat().st_mode & 0o100)
        found.update(f"{file}\0{link}{executable}\0{content}\n".encode())
    return found.hexdigest()


def copy_application(directory: Path, folder: Path) -> None:
    for file in application_files(directory):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / file, target, follow_symlinks=False)


def _walk(directory: Path, folder: Path, ignored: Callable[[str], bool]) -> Iterator[Path]:
    for path in folder.iterdir():
        relative = path.relative_to(directory)
        is_folder = path.is_dir() and not path.is_symlink()
        if _left_out(relative) or ignored(f"{relative.as_posix()}/" if is_folder else relative.as_posix()):
            continue
        if is_folder:
            yield from _walk(directory, path, ignored)
            continue
        _check(directory, path)
        yield path


def _left_out(relative: Path) -> bool:
    top = len(relative.parts) == 1
    return (
        relative.name in _NEVER
        or relative.suffix == ".pyc"
        or (top and (relative.name.startswith(".") or relative.suffix in (".yaml", ".yml")))
    )


def _check(directory: Path, path: Path) -> None:
    """A link may point to what is in the image, and nowhere else."""
    if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
        raise ImageError(
            f"{path} is a link out of the application, to {os.readlink(path)}",
            hint=f"copy the file, or name the link in {IGNORE}",
        )
    if not path.exists() or not (path.is_file() or path.is_dir()):
        raise ImageError(f"{path} cannot be put into an image", hint=f"name it in {IGNORE}")


def _ignored(directory: Path) -> Callable[[str], bool]:
    try:
        lines = (directory / IGNORE).read_text().splitlines()
    except FileNotFoundError:
        return lambda path: False
    try:
        from pathspec import GitIgnoreSpec
    except ImportError:
        raise MissingExtra("pathspec", "knative", "tidemill image build") from None
    return GitIgnoreSpec.from_lines(lines).match_file
