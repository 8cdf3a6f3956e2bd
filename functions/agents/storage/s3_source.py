"""`s3-source`: each object of a bucket becomes a record, and is deleted when that is processed."""

from __future__ import annotations

from pydantic import Field

from ...api import Context, Declaration, Example
from ._objects import ObjectSource, ObjectSourceConfig
from ._s3 import DEFAULT_BUCKET, DEFAULT_ENDPOINT, Bucket


class S3SourceConfig(ObjectSourceConfig):
    """Only the top level of the bucket is read."""

    bucket: str = Field(DEFAULT_BUCKET, alias="bucketName")
    endpoint: str = DEFAULT_ENDPOINT
    access_key: str = "minioadmin"
    secret_key: str = "minioadmin"
    region: str = ""


def create(config: S3SourceConfig, context: Context) -> ObjectSource:
    bucket = Bucket(config.bucket, config.endpoint, config.access_key, config.secret_key, config.region)
    return ObjectSource(config, bucket, f"{config.endpoint}/{config.bucket}")


AGENT = Declaration(
    type="s3-source",
    kind="source",
    summary="Reads the objects of an S3 bucket, and deletes each when it is processed.",
    config=S3SourceConfig,
    handler=create,
    extra="s3",
    example=Example(
        configuration={
            "bucketName": "documents",
            "endpoint": "https://s3.eu-central-1.amazonaws.com",
            "access-key": "a-key",
            "secret-key": "a-secret",
            "region": "eu-central-1",
        },
    ),
)
