"""`tidemill model`: the embedded models' weights and the process that runs them.

`fetch` is run once by `make install`; everything else works offline.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import cyclopts

from ..functions.models import process, weights

app = cyclopts.App(name="model", help="Fetch and look after the embedded models.")

Output = Annotated[Literal["text", "json"], cyclopts.Parameter(name=["--output", "-o"])]


@app.command
def fetch() -> None:
    """Bring the weights of the embedded models into this user's cache (200 MB, once)."""
    print(weights.fetch(report=lambda line: print(line, file=sys.stderr, flush=True)))


@app.command(name="list")
def list_models(*, output: Output = "text") -> None:
    """List the embedded models and whether their weights are in the cache."""
    rows = [_row(model) for model in weights.MODELS]
    if output == "json":
        print(json.dumps(rows))
        return
    for row in rows:
        state = "fetched" if row["fetched"] else "missing"
        print(f"{row['name']:22} {row['kind']:11} {state:8} {row['summary']}")
    if not all(row["fetched"] for row in rows):
        print("run 'tidemill model fetch' to get what is missing", file=sys.stderr)


@app.command
def status(*, output: Output = "text") -> None:
    """Say whether the model process runs, and where."""
    at, pid = process.place(), process.running()
    if output == "json":
        print(json.dumps({"pid": pid, "socket": str(at.socket), "log": str(at.log)}))
    elif pid is None:
        print("the model process is not running; it starts at first use")
    else:
        print(f"the model process {pid} serves {at.socket}")


@app.command
def stop() -> None:
    """Stop the model process; the next use starts it again."""
    pid = process.stop()
    print("the model process was not running" if pid is None else f"stopped the model process {pid}")


def _row(model: weights.Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": model.kind,
        "fetched": weights.is_fetched(model),
        "summary": model.summary,
        "licence": model.licence,
    }
