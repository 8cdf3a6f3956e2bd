"""An S3 server (moto's) on a free port, one for all tests of a process, each with its own bucket."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any


@cache
def endpoint() -> str:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def client() -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint(),
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
        region_name="us-east-1",
    )


def bucket(**objects: bytes) -> dict[str, str]:
    """The configuration of a new bucket with these objects; `a__b` is the name a.b."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    store = client()
    store.create_bucket(Bucket=name)
    for key, content in objects.items():
        store.put_object(Bucket=name, Key=key.replace("__", "."), Body=content)
    return {
        "bucketName": name,
        "endpoint": endpoint(),
        "access-key": "a-key",
        "secret-key": "a-secret",
        "region": "us-east-1",
    }


def names(name: str) -> list[str]:
    return [entry["Key"] for entry in client().list_objects_v2(Bucket=name).get("Contents", ())]
