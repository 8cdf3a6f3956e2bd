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
    "ai-chat-completions": "agents.ai.chat_completions:AGENT",
    "ai-text-completions": "agents.ai.text_completions:AGENT",
    "cast": "agents.transform.cast:AGENT",
    "compute": "agents.transform.compute:AGENT",
    "compute-ai-embeddings": "agents.ai.embeddings:AGENT",
    "document-to-json": "agents.text.document_to_json:AGENT",
    "drop": "agents.transform.drop:AGENT",
    "drop-fields": "agents.transform.drop_fields:AGENT",
    "flatten": "agents.transform.flatten:AGENT",
    "identity": "agents.flow.identity:AGENT",
    "language-detector": "agents.text.language_detector:AGENT",
    "log-event": "agents.flow.log_event:AGENT",
    "merge-key-value": "agents.transform.merge_key_value:AGENT",
    "python-function": "agents.code.python_processor:AGENT",
    "python-processor": "agents.code.python_processor:AGENT",
    "python-service": "agents.code.python_service:AGENT",
    "python-sink": "agents.code.python_sink:AGENT",
    "python-source": "agents.code.python_source:AGENT",
    "query": "agents.data.query:AGENT",
    "query-vector-db": "agents.data.query_vector_db:AGENT",
    "text-extractor": "agents.text.text_extractor:AGENT",
    "text-normaliser": "agents.text.text_normaliser:AGENT",
    "text-splitter": "agents.text.text_splitter:AGENT",
    "unwrap-key-value": "agents.transform.unwrap_key_value:AGENT",
    "vector-db-sink": "agents.data.vector_db_sink:AGENT",
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
