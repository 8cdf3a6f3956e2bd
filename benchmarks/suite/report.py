"""The table that `make bench` prints: a row per promise, as ratios within one run."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("row", "measure", "value", "peer", "ratio", "target", "half-way", "")


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison. `met` and `half` judge the figures; None where there is nothing to judge."""

    row: str
    measure: str
    value: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    halfway: str = ""
    met: bool | None = None
    half: bool | None = None

    @property
    def verdict(self) -> str:
        if self.met:
            return "target"
        if self.half:
            return "half-way"
        return "" if self.met is None and self.half is None else "NOT MET"


@dataclass(slots=True)
class Report:
    """Lines and notes, printed as they come."""

    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *lines: Line) -> None:
        self.lines.extend(lines)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def text(self) -> str:
        rows = [COLUMNS, *(_cells(line) for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([machine(), "", body[0], "-" * len(body[0]), *body[1:], "", *self.notes])

    def markdown(self) -> str:
        rows = ["| " + " | ".join(_cells(line)) + " |" for line in self.lines]
        head = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        return "\n".join(["# Benchmark", "", machine(), "", *head, *rows, "", *self.notes, ""])


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.row,
        line.measure,
        line.value,
        line.peer,
        line.ratio,
        line.target,
        line.halfway,
        line.verdict,
    )


def machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}, Linux {platform.release()}"
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
