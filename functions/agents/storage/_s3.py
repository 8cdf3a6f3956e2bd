"""One bucket of a store that speaks S3's protocol, through boto3 in threads.

Used by the source of objects, and by the crawler for its state. The bucket is made if it is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ....errors import ConfigurationError, MissingExtra
from ._objects import Listed

DEFAULT_BUCKET = "langstream-source"
DEFAULT_ENDPOINT = "http://minio-endpoint.-not-set:9090"  # no host: an endpoint must be given


class Bucket:
    def __init__(self, name: str, endpoint: str, access_key: str, secret_key: str, region: str) -> None:
        if endpoint == DEFAULT_ENDPOINT:
            raise ConfigurationError(
                f"no 'endpoint' is given for the bucket '{name}'",
                hint="set it to the store's address, for example https://s3.eu-central-1.amazonaws.com",
            )
        self.name = name
        self._options = {
            "endpoint_url": endpoint,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "region_name": region or "us-east-1",
        }
        self._client: Any = None

    async def start(self) -> None:
        """Raises MissingExtra, ConfigurationError."""
        try:
            import boto3  # noqa: F401
        except ImportError as error:
            raise MissingExtra("boto3", "s3", "an agent that reads S3") from error
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        retries = Config(retries={"max_attempts": 5, "mode": "standard"}, s3={"addressing_style": "path"})
        self._client = boto3.client("s3", config=retries, **self._options)
        try:
            self._make()
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(f"the bucket '{self.name}' cannot be used: {error}") from None

    def _make(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.head_bucket(Bucket=self.name)
        except ClientError as error:
            if _status(error) != 404:
                raise
            region = self._options["region_name"]
            place = {} if region == "us-east-1" else {"LocationConstraint": region}
            options = {"CreateBucketConfiguration": place} if place else {}
            self._client.create_bucket(Bucket=self.name, **options)

    async def list(self) -> AsyncIterator[Listed]:
        """The objects at the top of the bucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Delimiter="/")
        walk = iter(pages)
        while (page := await asyncio.to_thread(next, walk, None)) is not None:
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):
                    yield Listed(entry["Key"], f"{entry.get('ETag')} {entry['LastModified'].timestamp()}")

    async def get(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._get, name)

    def _get(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            content: bytes = self._client.get_object(Bucket=self.name, Key=name)["Body"].read()
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise
        return content

    async def put(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._client.put_object, Bucket=self.name, Key=name, Body=content)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._client.delete_object, Bucket=self.name, Key=name)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
