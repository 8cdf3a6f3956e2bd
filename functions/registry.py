"""The table of agent types: type name -> "module:attribute" of its Declaration.

Read by the planner, the host and the documentation. Looking a type up imports that agent's module
only, and an agent's module imports no SDK. Adding an agent is one module, one test and one row; a
test compares the table with the folder.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..errors import NotFound
from .api import Declaration

AGENTS: dict[str, str] = {
    "cast": "agents.transform.cast:AGENT",
    "compute": "agents.transform.compute:AGENT",
    "drop": "agents.transform.drop:AGENT",
    "drop-fields": "agents.transform.drop_fields:AGENT",
    "flatten": "agents.transform.flatten:AGENT",
    "merge-key-value": "agents.transform.merge_key_value:AGENT",
    "unwrap-key-value": "agents.transform.unwrap_key_value:AGENT",
    "identity": "agents.flow.identity:AGENT",
    "python-function": "agents.code.python_processor:AGENT",
    "python-processor": "agents.code.python_processor:AGENT",
    "python-service": "agents.code.python_service:AGENT",
    "python-sink": "agents.code.python_sink:AGENT",
    "python-source": "agents.code.python_source:AGENT",
}


@cache
def declaration(type_name: str) -> Declaration:
    """The declaration of an agent type or alias. Raises NotFound with the nearest name."""
    try:
        module, attribute = AGENTS[type_name].split(":")
    except KeyError:
        raise NotFound("agent type", type_name, AGENTS) from None
    found: Declaration = getattr(import_module(f".{module}", __package__), attribute)
    return found
