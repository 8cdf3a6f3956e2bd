"""A Dockerfile that makes an image like `build.py` does, for those who build with Docker.

Called by `tidemill image build --dockerfile`. Same folders, variables, user and command; pip runs in the
image, so its digest is not reproducible.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from .. import pods
from .build import COMMAND, LIBRARY, OWNER
from .references import Reference
from .sources import IGNORE

_COMPILE = "python -m compileall -q --invalidation-mode unchecked-hash"


def dockerfile(directory: Path, base: Reference, extras: Sequence[str]) -> str:
    """Its context is the application's folder."""
    return "\n".join([*_head(base), *_packages(directory, extras), *_application(directory), ""])


def _head(base: Reference) -> list[str]:
    return [
        "# Made by 'tidemill image build --dockerfile'. Build with the application's folder as context.",
        f"# Docker reads .dockerignore: put '*.yaml' there, and what {IGNORE} names.",
        f"FROM {base}",
        f"ENV PYTHONPATH=/{LIBRARY} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \\",
        f"    TIDEMILL_CODE={pods.CODE_FOLDER}",
    ]


def _packages(directory: Path, extras: Sequence[str]) -> list[str]:
    """One resolution for both, so that they fit each other; bytecode, for pip does not compile unchecked."""
    tidemill = f"'tidemill[{','.join(extras)}]=={__version__}'"
    install = f"python -m pip install --no-cache-dir --no-compile --target /{LIBRARY} {tidemill}"
    lines = []
    if (directory / "python" / "requirements.txt").is_file():
        lines.append("COPY python/requirements.txt /tmp/requirements.txt")
        install += " -r /tmp/requirements.txt"
    return [*lines, f"RUN {install} \\", f"    && ({_COMPILE} /{LIBRARY} || true)"]


def _application(directory: Path) -> list[str]:
    return [
        f"COPY . {pods.CODE_FOLDER}",
        *([f"RUN {_COMPILE} {pods.CODE_FOLDER}/python"] if (directory / "python").is_dir() else []),
        "WORKDIR /",
        f"USER {OWNER}",
        f"EXPOSE {pods.PORT}",
        "ENTRYPOINT []",
        f"CMD {json.dumps(COMMAND)}",
    ]
