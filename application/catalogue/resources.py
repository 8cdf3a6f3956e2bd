"""Resource types of configuration.yaml: models, databases.

The planner checks a resource when an agent or asset uses it. Keys that LangStream's own examples
use without need are accepted, and mean nothing unless a comment says so.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from .base import Settings


class OpenAI(Settings):
    access_key: str
    provider: Literal["openai", "azure"] = "openai"
    url: str | None = None

    @model_validator(mode="after")
    def _azure_has_an_address(self) -> OpenAI:
        if self.provider == "azure" and self.url is None:
            raise ValueError("Property 'url' is required for the provider azure")
        return self


class HuggingFace(Settings):
    provider: Literal["api", "local"] = "api"
    access_key: str | None = None
    api_url: str = "https://api-inference.huggingface.co/pipeline/feature-extraction/"
    model_check_url: str = "https://huggingface.co/api/models/"
    inference_url: str | None = None


class Vertex(Settings):
    url: str
    region: str
    project: str
    token: str | None = None
    service_account_json: str | None = Field(None, alias="serviceAccountJson")

    @field_validator("service_account_json")
    @classmethod
    def _is_json(cls, text: str | None) -> str | None:
        try:
            json.loads(text or "null")
        except ValueError:
            raise ValueError("it must be JSON") from None
        return text

    @model_validator(mode="after")
    def _one_credential(self) -> Vertex:
        if (self.token is None) == (self.service_account_json is None):
            raise ValueError("exactly one of 'token' and 'serviceAccountJson' is required")
        return self


class Bedrock(Settings):
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    endpoint_override: str | None = None


class Ollama(Settings):
    url: str


class Astra(Settings):
    service: str
    client_id: str = Field(alias="clientId")
    secret: str
    secure_bundle: str | None = Field(None, alias="secureBundle")
    token: str | None = None
    database: str | None = None
    database_id: str | None = None
    environment: Literal["PROD", "DEV", "TEST"] = "PROD"
    username: str | None = None
    password: str | None = None

    @model_validator(mode="after")
    def _finds_its_database(self) -> Astra:
        if self.secure_bundle is None and (
            self.token is None or (self.database is None and self.database_id is None)
        ):
            raise ValueError("it needs 'secureBundle', or 'token' with 'database' or 'database-id'")
        return self


class AstraVector(Settings):
    service: str
    endpoint: str | None = None
    token: str | None = None


class Cassandra(Settings):
    service: str
    contact_points: str
    local_datacentre: str = Field(alias="loadBalancing-localDc")
    port: int = Field(9042, ge=1, le=65535)
    username: str | None = None
    password: str | None = None


class Jdbc(Settings):
    """What else stands there goes to the driver."""

    model_config = ConfigDict(extra="allow")

    service: str
    driver_class: str = Field(alias="driverClass")
    url: str


class OpenSearch(Settings):
    service: str
    host: str
    index_name: str
    https: bool = True
    port: int = 9200
    region: str | None = None
    username: str | None = None
    password: str | None = None


class Pinecone(Settings):
    service: str
    api_key: str
    environment: str
    project_name: str
    index_name: str
    server_side_timeout_sec: int = Field(10, ge=1, le=300_000)
    endpoint: str | None = None


class Milvus(Settings):
    service: str
    host: str | None = None
    port: int = 19530
    user: str = "default"
    username: str | None = None  # the name that LangStream's example gives to `user`
    password: str | None = None
    url: str | None = None
    token: str | None = None
    write_mode: str | None = None


class Solr(Settings):
    service: str
    host: str = "localhost"
    port: int = 8983
    user: str | None = None
    password: str | None = None
    collection_name: str = "documents"
    protocol: str = "http"


class Sqlite(Settings):
    """Tidemill's own: a file with sqlite-vec, by default in the state folder."""

    service: str
    path: str | None = None
