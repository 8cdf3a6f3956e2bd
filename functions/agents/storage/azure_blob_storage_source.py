"""`azure-blob-storage-source`: each blob of a container becomes a record, and is deleted when processed."""

from __future__ import annotations

from ....errors import ConfigurationError
from ...api import Context, Declaration, Example
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
    raise ConfigurationError("azure-blob-storage-source cannot run yet; Tidemill plans it only")


AGENT = Declaration(
    type="azure-blob-storage-source",
    kind="source",
    summary="Reads the blobs of an Azure container, and deletes each when it is processed.",
    config=AzureSourceConfig,
    handler=create,
    tested="plan only",
    runs_on="a later version of Tidemill",
    example=Example(
        configuration={
            "endpoint": "https://an-account.blob.core.windows.net",
            "container": "documents",
            "sas-token": "sv=2024&sig=a-signature",
        },
    ),
)
