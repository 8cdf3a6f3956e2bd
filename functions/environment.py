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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .unit import UnitSpec, read_unit

JSON_SUFFIX = ".json"  # a secret's file whose value is not text


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


def write_secrets(folder: Path, secrets: Mapping[str, Mapping[str, Any]]) -> None:
    """What `read_secrets` reads, for the platform that mounts nothing; readable by the owner only."""
    for identity, data in secrets.items():
        place = folder / identity
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for key, value in data.items():
            plain = isinstance(value, str) and not key.endswith(JSON_SUFFIX)
            file = place / (key if plain else key + JSON_SUFFIX)
            file.touch(mode=0o600)
            file.write_text(value if plain else json.dumps(value))


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
