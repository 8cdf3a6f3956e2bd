"""What the query agents and the vector sink ask of a database, and which module speaks to which service.

A service costs one module and one row. `open_datasource` finds the resource that an agent names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from ....errors import ConfigurationError, NotFound, RecordError
from ...api import Context
from ...unit import ResourceSpec

Row: TypeAlias = dict[str, Any]

DATABASE_TYPES = ("datasource", "vector-database")

SERVICES: dict[str, str] = {
    "jdbc": "_sqlite:open_jdbc",
    "sqlite": "_sqlite:open_sqlite",
}


class DatabaseError(RecordError):
    """A database refused a statement, or could not be reached. Holds no parameters."""

    kind = "INTERNAL_ERROR"

    def __init__(self, datasource: str, reason: str, *, hint: str | None = None) -> None:
        self.datasource, self.reason = datasource, reason
        super().__init__(f"the database '{datasource}': {reason}", hint=hint)


class Datasource(Protocol):
    """One agent's connection. Every method but `close` may raise DatabaseError."""

    async def start(self) -> None: ...

    async def query(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows as maps from column to value."""
        ...

    async def execute(self, statement: str, parameters: Sequence[Any], generated: Sequence[str]) -> Row:
        """`count` of changed rows, and `generatedKeys` of the columns that are asked for."""
        ...

    async def prepare(self, table: str, columns: Sequence[str], keys: Sequence[str]) -> None:
        """Before the first write: the table is made if the service makes tables."""
        ...

    async def upsert(self, table: str, keys: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        """Change the row with these keys, or add it."""
        ...

    async def delete(self, table: str, keys: Mapping[str, Any]) -> None: ...

    async def close(self) -> None: ...


def open_datasource(context: Context, name: str) -> Datasource:
    """Not connected yet. Raises NotFound or ConfigurationError."""
    known = {key: spec for key, spec in context.resources.items() if spec.type in DATABASE_TYPES}
    if name not in known:
        raise NotFound("datasource", name, known)
    spec = known[name]
    service = spec.configuration.get("service")
    if service not in SERVICES:
        raise ConfigurationError(
            f"the datasource '{name}' has the service {service}, which cannot be reached yet; "
            f"there are: {', '.join(SERVICES)}"
        )
    module, attribute = SERVICES[service].split(":")
    opened: Datasource = _factory(module, attribute)(spec, context)
    return opened


def _factory(module: str, attribute: str) -> Any:
    return getattr(import_module(f".{module}", __package__), attribute)


def required(spec: ResourceSpec, key: str) -> str:
    """A text of the resource's configuration. Raises ConfigurationError."""
    value = spec.configuration.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the datasource '{spec.id}' needs '{key}'")
    return value
