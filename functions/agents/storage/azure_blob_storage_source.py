"""`azure-blob-storage-source`: each blob of a container becomes a record, and is deleted when processed."""

from __future__ import annotations

from typing import Any

from ....errors import ConfigurationError
from ...api import Context, Declaration, Example
from ._azure import Container
from ._objects import ObjectSource, ObjectSourceConfig


class AzureSourceConfig(ObjectSourceConfig):
    """One of the three credentials is needed; they are tried in the order in which they stand here."""

    endpoint: str
    container: str = "langstream-azure-source"
    sas_token: str | None = None
    storage_account_name: str | None = None
    storage_account_key: str | None = None
    storage_account_connection_string: str | None = None


def create(config: AzureSourceConfig, context: Context) -> ObjectSource:
    account = config.storage_account_name and config.storage_account_key
    if not (config.sas_token or account or config.storage_account_connection_string):
        raise ConfigurationError(
            "azure-blob-storage-source has no credential",
            hint="set 'sas-token', 'storage-account-name' with 'storage-account-key',"
            " or 'storage-account-connection-string'",
        )
    container = Container(config.container, lambda: _connect(config))
    return ObjectSource(config, container, f"{config.endpoint}/{config.container}")


def _connect(config: AzureSourceConfig) -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.storage.blob import BlobServiceClient

    if config.sas_token:
        return BlobServiceClient(config.endpoint, credential=AzureSasCredential(config.sas_token))
    if config.storage_account_name and config.storage_account_key:
        named = AzureNamedKeyCredential(config.storage_account_name, config.storage_account_key)
        return BlobServiceClient(config.endpoint, credential=named)
    return BlobServiceClient.from_connection_string(config.storage_account_connection_string)


AGENT = Declaration(
    type="azure-blob-storage-source",
    kind="source",
    summary="Reads the blobs of an Azure container, and deletes each when it is processed.",
    config=AzureSourceConfig,
    handler=create,
    extra="azure",
    tested="stand-in",
    example=Example(
        configuration={
            "endpoint": "https://an-account.blob.core.windows.net",
            "container": "documents",
            "sas-token": "sv=2024&sig=a-signature",
        },
    ),
)
