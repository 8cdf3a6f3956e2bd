"""What a unit finds in its environment; the same variables on a cluster and on one machine.

| variable | meaning |
|---|---|
| TIDEMILL_UNIT | file with the unit's plan (`unit.py`) |
| TIDEMILL_SECRETS | folder with `<secret id>/<key>`, one file a value |
| TIDEMILL_STATE | folder for agents with a disk, one folder an agent |
| TIDEMILL_CODE | the application's folder |
| TIDEMILL_INGRESS | base URL of the brokers' ingress, where outputs are published |
| TIDEMILL_TOPICS | file with a JSON object: topic -> path of its Broker below the ingress |
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .unit import UnitSpec, read_unit

JSON_SUFFIX = ".json"  # a secret's file whose value is not text
_FILE = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")  # as Kubernetes names the keys of a Secret


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables above, as paths."""

    unit: Path
    secrets: Path | None = None
    state: Path | None = None
    code: Path | None = None
    ingress: str | None = None
    topics: Path | None = None

    def read_unit(self) -> UnitSpec:
        return read_unit(self.unit.read_bytes())

    def read_secrets(self) -> dict[str, dict[str, Any]]:
        """Secret id -> key -> value, with their types."""
        if self.secrets is None or not self.secrets.is_dir():
            return {}
        return {
            folder.name: _read_secret(folder) for folder in sorted(self.secrets.iterdir()) if folder.is_dir()
        }

    def read_topics(self) -> Mapping[str, str]:
        """Topic -> path below the ingress."""
        if self.topics is None:
            return {}
        found: dict[str, str] = json.loads(self.topics.read_text())
        return found


def _read_secret(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith(".."):  # Kubernetes' own links
            text = file.read_text()
            if file.name.endswith(JSON_SUFFIX):
                values[file.name.removesuffix(JSON_SUFFIX)] = json.loads(text)
            else:
                values[file.name] = text
    return values


def secret_file(identity: str, key: str, value: Any) -> tuple[str, str]:
    """Name and text of the file that holds a value. Raises ConfigurationError for a name it cannot have."""
    plain = isinstance(value, str) and not key.endswith(JSON_SUFFIX)
    name = key if plain else key + JSON_SUFFIX
    if not _FILE.fullmatch(name) or "/" in identity or identity in (".", ".."):
        raise ConfigurationError(
            f"the key '{key}' of secret '{identity}' cannot be kept in a file",
            hint="use letters, digits, '-', '_' and '.'",
        )
    return name, value if plain else json.dumps(value, sort_keys=True)


def write_secrets(folder: Path, secrets: Mapping[str, Mapping[str, Any]]) -> None:
    """What `read_secrets` reads, for the platform that mounts nothing; readable by the owner only.
    What is there and not in `secrets` is removed. Raises ConfigurationError."""
    files = {
        folder / identity / name: text
        for identity, data in secrets.items()
        for name, text in (secret_file(identity, key, value) for key, value in data.items())
    }
    folders = {folder / identity for identity in secrets}
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for place in folders:
        place.mkdir(exist_ok=True)
    for file, text in files.items():
        part = file.with_name(f"..{file.name}")  # never read half-written
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(text)
        part.replace(file)
    for old in sorted(folder.rglob("*"), reverse=True):  # files before their folders
        if old not in folders and old not in files:
            old.rmdir() if old.is_dir() else old.unlink()


def from_variables(variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment of this process."""

    def path(name: str) -> Path | None:
        return Path(variables[name]) if variables.get(name) else None

    return Environment(
        unit=Path(variables["TIDEMILL_UNIT"]),
        secrets=path("TIDEMILL_SECRETS"),
        state=path("TIDEMILL_STATE"),
        code=path("TIDEMILL_CODE"),
        ingress=variables.get("TIDEMILL_INGRESS") or None,
        topics=path("TIDEMILL_TOPICS"),
    )
