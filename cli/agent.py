"""`tidemill agent`: the types of agents that an application may use, and what each takes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import cyclopts

from ..errors import NotFound
from ..functions.api import Declaration
from ..functions.registry import declaration
from . import reference

app = cyclopts.App(name="agent", help="List the agent types, and describe one.")

Output = Annotated[Literal["text", "json"], cyclopts.Parameter(name=["--output", "-o"])]


class UnknownType(NotFound):
    """A slip in a name, not something that is missing."""

    status = 1


@app.command(name="list")
def list_types(*, output: Output = "text") -> None:
    """List every agent type and alias, and how each is tested."""
    rows = [row for found in reference.declarations() for row in _rows(found)]
    rows.sort(key=lambda row: str(row["type"]))
    if output == "json":
        print(json.dumps(rows))
        return
    for row in rows:
        summary = f"the same as {row['alias-of']}" if row["alias-of"] else row["summary"]
        print(f"{row['type']:26} {row['kind']:10} {row['tested']:10} {summary}")


@app.command
def describe(type_name: Annotated[str, cyclopts.Parameter(name="TYPE")], *, output: Output = "text") -> None:
    """Say what an agent type does, what it takes, and show an example."""
    try:
        found = declaration(type_name)
    except NotFound as error:
        raise UnknownType(error.what, error.name, error.known) from None
    if output == "json":
        print(json.dumps(_described(found), indent=2))
    else:
        print(reference.page(found), end="")


def _rows(found: Declaration) -> list[dict[str, Any]]:
    row = {
        "type": found.type,
        "alias-of": None,
        "kind": found.kind,
        "tested": found.tested,
        "summary": found.summary,
    }
    return [row, *({**row, "type": name, "alias-of": found.type} for name in reference.aliases(found))]


def _described(found: Declaration) -> dict[str, Any]:
    from ..application.schema import agent_schema

    return {
        "type": found.type,
        "aliases": reference.aliases(found),
        "kind": found.kind,
        "summary": found.summary,
        "tested": found.tested,
        "composable": found.composable,
        "extra": found.extra,
        "run-by": found.runs_on,
        "topics-in": list(found.topic_fields),
        "resources-in": {path: list(types) for path, types in found.resource_fields.items()},
        "configuration": agent_schema(found),
        "example": reference.example(found),
    }
