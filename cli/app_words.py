"""What `tidemill app` prints: changes, lists, states, as text, JSON or YAML.

Called by `cli/app.py`. Secrets never come here with their values: `Changes.wanted_openly` leaves them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..errors import UsageError
from ..knative import durations, files
from ..knative.apply import Change, Changes
from ..knative.objects import Object
from ..knative.prepare import Prepared, missing_programs
from ..knative.releases import Release
from ..knative.status import Description, LogLine, ObjectState, Summary

_SIGNS = {"create": "+", "change": "~", "remove": "-"}


def change_lines(changes: Changes) -> Iterator[str]:
    for change in changes.shown:
        yield f"{_SIGNS[change.action]} {change.kind}/{change.name}"
        yield from (f"    {line}" for line in change.lines)
    yield _total(changes.shown)


def _total(shown: Sequence[Change]) -> str:
    count = {action: sum(each.action == action for each in shown) for action in _SIGNS}
    return ", ".join(f"{number} to {action}" for action, number in count.items())


def show_changes(changes: Changes, output: str) -> None:
    if output in ("json", "yaml"):
        _structured([asdict(change) for change in changes.shown], output)
    elif not changes:
        print("No changes")
    else:
        for line in change_lines(changes):
            print(line)


def show_objects(found: Sequence[Object], output: str, suffix: str) -> None:
    if output == "json":
        _structured({"apiVersion": "v1", "kind": "List", "items": list(found)}, output)
    elif output == "yaml":
        print("---\n".join(map(files.as_yaml, found)), end="")
    else:
        for item in found:
            print(_identity(item) + (suffix if output == "text" else ""))


def _identity(found: Object) -> str:
    """As kubectl's `-o name`."""
    version, slash, _ = found["apiVersion"].partition("/")
    kind = found["kind"].lower()
    return f"{kind}.{version}/{found['metadata']['name']}" if slash else f"{kind}/{found['metadata']['name']}"


def show_list(found: Sequence[Summary], output: str) -> None:
    rows = [
        (each.name, f"{each.ready}/{each.units}", _or_dash(each.release), _or_dash(each.deployed))
        for each in found
    ]
    _show([asdict(each) for each in found], ("NAME", "READY", "RELEASE", "DEPLOYED"), rows, output)


def show_states(found: Sequence[ObjectState], output: str) -> None:
    rows = [(f"{each.kind}/{each.name}", str(each.ready), each.text) for each in found]
    _show([asdict(each) for each in found], ("OBJECT", "READY", "REASON"), rows, output)


def show_history(past: Sequence[Release], output: str) -> None:
    plain = [{"release": each.number, "time": each.time, "reason": each.reason} for each in past]
    _show(plain, ("RELEASE", "TIME", "REASON"), [tuple(map(str, each.values())) for each in plain], output)


def show_description(found: Description, output: str) -> None:
    if output in ("json", "yaml"):
        _structured(_plain(found), output)
        return
    if output == "name":
        print(f"application/{found.application}")
        return
    release = found.release
    shown = f"{release.number} of {release.time} ({release.reason})" if release else "none is finished"
    print(f"Application:  {found.application}\nNamespace:    {found.namespace}\nImage:        {found.image}")
    print(f"Release:      {shown}\n")
    units = [
        (
            each.name,
            each.kind,
            _or_dash(each.revision),
            _copies(each.copies),
            str(each.ready),
            each.url or "-",
        )
        for each in found.units
    ]
    _table(("UNIT", "KIND", "REVISION", "COPIES", "READY", "URL"), units)
    ready = {each.name: each for each in found.states}
    starts = [
        (each.topic, each.subscriber, _or_dash(each.on_failure), str(ready[each.name].ready))
        for each in found.manifests.triggers
    ]
    print()
    _table(("TOPIC", "STARTS", "ON FAILURE", "READY"), starts)
    for late in (each for each in found.states if not each.ready):
        print(f"\n{late.kind}/{late.name}: {late.text}")


def _copies(count: int | None) -> str:
    return "0 (asleep)" if count == 0 else _or_dash(count)


def _plain(found: Description) -> dict[str, Any]:
    release = found.release
    return {
        "application": found.application,
        "namespace": found.namespace,
        "image": found.image,
        "release": release and {"number": release.number, "time": release.time, "reason": release.reason},
        "units": [asdict(each) for each in found.units],
        "triggers": [
            {
                "name": each.name,
                "topic": each.topic,
                "service": each.subscriber,
                "on-failure": each.on_failure,
                "retries": each.retries,
            }
            for each in found.manifests.triggers
        ],
        "objects": [asdict(each) for each in found.states],
    }


def show_log_line(each: LogLine, output: str) -> None:
    print(json.dumps(asdict(each)) if output == "json" else f"{each.unit}  {each.line}")


def seconds(text: str) -> int:
    """Raises UsageError."""
    try:
        return durations.from_go(text)
    except ValueError:
        raise UsageError(f"'{text}' is no length of time", hint="write it as 90s, 10m or 2h") from None


def losses(found: Description) -> Iterator[str]:
    """What is gone for good with an application, and what is not."""
    for each in found.states:
        if each.kind == "PersistentVolumeClaim":
            yield f"PersistentVolumeClaim/{each.name} and its data are removed"
    marked = [topic.name for topic in found.manifests.topics if topic.deletion_mode == "delete"]
    if marked:
        listed = ", ".join(marked)
        yield f"note: this version removes no topic, also not with deletion-mode 'delete': {listed}"


def caveats(prepared: Prepared) -> Iterator[str]:
    """What objects on paper rely on that is not among them."""
    external = {*prepared.external, *(item["metadata"]["name"] for item in prepared.secrets)}
    if external:
        listed = ", ".join(sorted(external))
        yield f"note: expected in namespace {prepared.namespace}, not written: Secret {listed}"
    configs = [item["spec"]["config"] for item in prepared.objects if item["kind"] == "Broker"]
    for place in sorted({f"{each['namespace']}/{each['name']}" for each in configs}):
        if not place.startswith(f"{prepared.namespace}/"):
            yield f"note: Kafka is the one that the cluster's ConfigMap {place} names"
    if missing := missing_programs(prepared.objects):
        yield f"note: this version of Tidemill does not have what containers run: {', '.join(missing)}"
    if prepared.assets:
        yield f"note: this version of Tidemill makes no assets: {', '.join(prepared.assets)}"


def _show(plain: Any, head: Sequence[str], rows: Sequence[Sequence[str]], output: str) -> None:
    if output in ("json", "yaml"):
        _structured(plain, output)
    elif output == "name":
        for row in rows:
            print(row[0])
    else:
        _table(head, rows)


def _structured(value: Any, output: str) -> None:
    print(json.dumps(value, indent=2) if output == "json" else files.as_yaml(value).rstrip("\n"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
