"""`tidemill verify`: holds an output topic against its input topic, per key.

Registered by the CLI's main. Reads the state of a run on this machine, running or ended, and changes
nothing. Prints a line per fault to stdout and a summary to stderr; exit status 1 when there is a fault.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..brokers.embedded.reader import StateReader
from ..brokers.verify import KeyFindings, json_field, whole_text
from ..brokers.verify import verify as compare_topics

_SHOWN = 20  # values per line


def verify(
    directory: Annotated[Path, Parameter(help="application folder, or the state folder itself")],
    input: Annotated[str, Parameter(help="topic that was read")],
    output: Annotated[str, Parameter(help="topic that was written")],
    *,
    field: Annotated[
        str | None, Parameter(help="JSON field that identifies a record; without it, the whole text does")
    ] = None,
    state: Annotated[Path | None, Parameter(help="state folder, if not .tidemill in the application")] = None,
) -> None:
    """Compare two topics per key: what is missing, doubled or out of order."""
    with StateReader(state or _state_of(directory)) as reader:
        sequence = json_field(field) if field else whole_text
        findings = compare_topics(reader, input, output, sequence=sequence)
    for fault in findings.faults:
        for line in _lines(fault):
            print(line)
    print(
        f"{findings.inputs} in, {findings.outputs} out, {findings.keys} keys: "
        + (f"{len(findings.faults)} keys with faults" if findings.faults else "no gap, double or disorder"),
        file=sys.stderr,
    )
    if findings.faults:
        raise SystemExit(1)


def _state_of(directory: Path) -> Path:
    inside = directory / ".tidemill"
    return inside if inside.is_dir() else directory


def _lines(fault: KeyFindings) -> Iterator[str]:
    name = "no key" if fault.key is None else f"key {fault.key}"
    for what, values in (
        ("missing", fault.missing),
        ("doubled", fault.doubled),
        ("out of order", fault.disordered),
        ("unknown", fault.unknown),
    ):
        if values:
            yield f"{name}: {what}: {_some(values)}"


def _some(values: Sequence[Hashable]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")
