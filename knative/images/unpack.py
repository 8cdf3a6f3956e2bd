"""A wheel's files as they lie in an image: one folder for all, programs in its `bin`.

Used by `build.py`. Like `pip install --target`, without what would tell where and by whom it was done.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import zipfile
from pathlib import Path

from .faults import ImageError


def unpack(file: Path, folder: Path) -> None:
    """A wheel's files below `folder`, its programs in `folder/bin`."""
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            place = _place(entry.filename)
            if place is None or entry.is_dir():
                continue
            _write(archive, entry, folder, place)
    _write_programs(folder, file)


def _place(name: str) -> str | None:
    """Where a wheel's entry goes: `x.data/<scheme>/` is spread as pip does with a target folder."""
    if ".." in name.split("/") or name.startswith("/"):
        raise ImageError(f"a wheel wants to write outside its folder: {name}")
    found = re.fullmatch(r"[^/]+\.data/([^/]+)/(.+)", name)
    if found is None:
        return name
    scheme, rest = found.groups()
    return {"scripts": f"bin/{rest}", "headers": None}.get(scheme, rest)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, place: str) -> None:
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as file:
        if place.startswith("bin/"):
            file.write(re.sub(rb"\A#!python[^\r\n]*", b"#!/usr/bin/env python", source.read()))
        else:
            shutil.copyfileobj(source, file)
    if place.startswith("bin/") or entry.external_attr >> 16 & 0o100:
        target.chmod(0o755)


def _write_programs(folder: Path, file: Path) -> None:
    name, version = file.name.split("-")[:2]
    info = importlib.metadata.PathDistribution(folder / f"{name}-{version}.dist-info")
    for point in info.entry_points:
        if point.group == "console_scripts":
            program = folder / "bin" / point.name
            program.parent.mkdir(exist_ok=True)
            program.write_text(
                f"#!/usr/bin/env python\nimport sys\nfrom {point.module} import {point.attr.split('.')[0]}\n"
                f"sys.exit({point.attr}())\n"
            )
            program.chmod(0o755)
