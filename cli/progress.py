"""What happens to objects while a command waits: lines, or on a terminal a tree that ticks.

Used by `cli/app.py`. All of it goes to stderr. Without a terminal every change is one line, and nothing
is ever drawn over.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..knative.waiting import AT_ONCE, Tell

if TYPE_CHECKING:
    from rich.tree import Tree

_DONE = {"ready": "✓", "removed": "-"}


@contextmanager
def progress() -> Iterator[Tell]:
    """A function that takes kind, name, and what happened."""
    plain = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or os.environ.get("CI")
    if plain:
        yield _line
        return
    from rich.console import Console
    from rich.live import Live

    states: dict[tuple[str, str], str] = {}
    begun = time.monotonic()
    with Live(console=Console(stderr=True), refresh_per_second=4) as live:

        def tell(kind: str, name: str, what: str) -> None:
            states[kind, name] = what
            live.update(_tree(states, time.monotonic() - begun))

        yield tell


def _line(kind: str, name: str, what: str) -> None:
    print(f"{kind}/{name}: {what}", file=sys.stderr, flush=True)


def _tree(states: dict[tuple[str, str], str], seconds: float) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(f"{seconds:.0f} s"))
    branches: dict[str, Tree] = {}
    for (kind, name), what in states.items():
        branch = branches.setdefault(kind, root.add(kind) if kind not in branches else branches[kind])
        mark = "✓" if kind in AT_ONCE and what == "applied" else _DONE.get(what, "…")
        branch.add(Text(f"{mark} {name}  {what}"))
    return root
