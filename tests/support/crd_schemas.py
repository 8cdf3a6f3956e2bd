"""The schemas of Knative's CRDs, read as an API server with strict field validation reads them.

For the tests of manifests and for `api_server.py`. The CRDs are not part of this repository:
TIDEMILL_CRDS names a folder with them, one a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
FOLDER = Path(os.environ.get("TIDEMILL_CRDS", Path(__file__).parents[2].parent / "shared" / "crds"))


@cache
def schemas() -> dict[tuple[str, str], Object]:
    """(apiVersion, kind) -> schema; empty without the folder."""
    found: dict[tuple[str, str], Object] = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        crd = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for version in crd["spec"]["versions"]:
            identity = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
            found[identity] = version["schema"]["openAPIV3Schema"]
    return found


def object_misfits(item: Object) -> list[str] | None:
    """What the CRD of an object does not allow in it; None where there is no CRD."""
    schema = schemas().get((item["apiVersion"], item["kind"]))
    if schema is None:
        return None
    body = {key: value for key, value in item.items() if key not in ("apiVersion", "kind", "metadata")}
    return list(misfits(body, schema, ""))


def misfits(value: Any, schema: Object, path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, int | str) and not isinstance(value, bool)
        if not fits or ("pattern" in schema and not re.search(schema["pattern"], str(value))):
            yield f"{path}: {value!r} is neither number nor text that fits"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    match schema.get("type"):
        case "object":
            yield from _object_misfits(value, schema, path)
        case "array":
            if not isinstance(value, list):
                yield f"{path}: no list"
                return
            for index, item in enumerate(value):
                yield from misfits(item, schema["items"], f"{path}[{index}]")
        case "string":
            if not isinstance(value, str):
                yield f"{path}: {value!r} is no text"
            elif "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{path}: {value!r} does not match"
        case "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{path}: {value!r} is no whole number"
            elif abs(value) >= (2**31 if schema.get("format") == "int32" else 2**63):
                yield f"{path}: {value} is too large"
        case "boolean":
            if not isinstance(value, bool):
                yield f"{path}: {value!r} is neither true nor false"
        case None:
            pass
        case other:
            raise AssertionError(f"a type that this check does not know: {other}")


def _object_misfits(value: Any, schema: Object, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: no mapping"
        return
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}.{name}: is missing"
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from misfits(item, properties[name], f"{path}.{name}")
        elif isinstance(rest, dict):
            yield from misfits(item, rest, f"{path}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: unknown"
