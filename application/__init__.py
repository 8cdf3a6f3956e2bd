"""Applications: the model of their files, the strict loader and the planner.

`plan_directory` is what most callers want. The names below are imported when they are first asked
for, so that importing one module of this room does not import all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loader import application_id, load
    from .planner import plan_directory

__all__ = ["application_id", "load", "plan_directory"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    module = "planner" if name == "plan_directory" else "loader"
    return getattr(import_module(f".{module}", __name__), name)
