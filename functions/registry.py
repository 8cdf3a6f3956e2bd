"""The table of agent types: type name -> "module:attribute" of its Declaration.

Read by the planner, the host and the documentation. Looking a type up imports that agent's module
only, and an agent's module imports no SDK. Adding an agent is one module, one test and one row; a
test compares the table with the folder.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import NotFound
from .api import Declaration

if TYPE_CHECKING:
    from pydantic import BaseModel

AGENTS: dict[str, str] = {
    "ai-chat-completions": "agents.ai.chat_completions:AGENT",
    "ai-text-completions": "agents.ai.text_completions:AGENT",
    "azure-blob-storage-source": "agents.storage.azure_blob_storage_source:AGENT",
    "camel-source": "agents.connect.camel_source:AGENT",
    "cast": "agents.transform.cast:AGENT",
    "compute": "agents.transform.compute:AGENT",
    "compute-ai-embeddings": "agents.ai.embeddings:AGENT",
    "dispatch": "agents.flow.dispatch:AGENT",
    "document-to-json": "agents.text.document_to_json:AGENT",
    "drop": "agents.transform.drop:AGENT",
    "drop-fields": "agents.transform.drop_fields:AGENT",
    "flare-controller": "agents.flow.flare_controller:AGENT",
    "flatten": "agents.transform.flatten:AGENT",
    "http-request": "agents.http.http_request:AGENT",
    "identity": "agents.flow.identity:AGENT",
    "langserve-invoke": "agents.http.langserve_invoke:AGENT",
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
    "re-rank": "agents.flow.re_rank:AGENT",
    "s3-source": "agents.storage.s3_source:AGENT",
    "sink": "agents.connect.sink:AGENT",
    "source": "agents.connect.source:AGENT",
    "text-extractor": "agents.text.text_extractor:AGENT",
    "text-normaliser": "agents.text.text_normaliser:AGENT",
    "text-splitter": "agents.text.text_splitter:AGENT",
    "timer-source": "agents.flow.timer_source:AGENT",
    "trigger-event": "agents.flow.trigger_event:AGENT",
    "unwrap-key-value": "agents.transform.unwrap_key_value:AGENT",
    "vector-db-sink": "agents.data.vector_db_sink:AGENT",
    "webcrawler-source": "agents.http.webcrawler_source:AGENT",
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


def config_model(found: Declaration, service: object = None) -> type[BaseModel]:
    """The configuration model of an agent whose datasource, if it has one, has that service."""
    place = found.variants.get(service) if isinstance(service, str) else None
    if place is None:
        return found.config
    module, name = place.split(":")
    model: type[BaseModel] = getattr(import_module(f".{module}", __package__), name)
    return model
