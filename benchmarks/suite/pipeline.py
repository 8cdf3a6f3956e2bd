"""P2 and P3: three units in processes behind a durable broker, against peers behind an equal broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from processes import SERVER_CORE
from report import Line, Report, median

OURS = "tidemill:python"
PEERS = ("func-python", "functions-framework")
OTHERS = ("tidemill:compute", "tidemill:identity")
MAX_SECONDS = 300


def run(report: Report, scratch: Path, *, short: bool) -> None:
    """Every stack in a process of its own, in turn, several times."""
    rounds = 1 if short else 3
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *PEERS, *OTHERS)}
    for number in range(rounds):
        for name, results in found.items():
            ours = name.startswith("tidemill")
            what = {
                "warm": 1000 if ours else 100,
                "count": (5000 if ours else 600) if short else (20_000 if ours else 3000),
                "in_flight": 64,
                "paced": 100 if short else 1000,
            }
            results.append(_measure(name, scratch / f"{name.replace(':', '-')}-{number}", what))
    _throughput(report, found)
    _latency(report, found)


def _measure(stack: str, folder: Path, what: dict[str, Any]) -> dict[str, float]:
    folder.mkdir()
    program = Path(__file__).with_name("pipeline_process.py")
    done = subprocess.run(
        [sys.executable, str(program), stack, str(folder), json.dumps(what)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        start_new_session=True,  # its group is what its CPU time is summed over
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    if done.returncode != 0:
        raise AssertionError(f"{stack} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _throughput(report: Report, found: dict[str, list[dict[str, float]]]) -> None:
    def of(name: str, figure: str) -> float:
        return median([result[figure] for result in found[name]])

    for name in (OURS, *OTHERS):
        for peer in PEERS if name == OURS else PEERS[:1]:
            ratio = of(name, "rate") / of(peer, "rate")
            judged = peer == PEERS[0]
            report.add(
                Line(
                    "P2",
                    f"three units, durable, 64 in flight: {name} against {peer}",
                    f"{of(name, 'rate'):,.0f}/s, {of(name, 'cpu') * 1e6:.0f} µs",
                    f"{of(peer, 'rate'):,.0f}/s, {of(peer, 'cpu') * 1e6:.0f} µs",
                    f"{ratio:.1f} x, CPU 1/{of(peer, 'cpu') / of(name, 'cpu'):.1f}",
                    *((">= 10 x", ">= 4 x", ratio >= 10, ratio >= 4) if judged else ()),
                )
            )
    syncs = [result["sync"] * 1000 for results in found.values() for result in results]
    report.note("P2: µs is CPU per event of everything together: broker, dispatchers, agents and feeder.")
    report.note(
        f"    fdatasync was {min(syncs):.2f} to {max(syncs):.2f} ms; above 1 ms the disk decides for all."
    )


def _latency(report: Report, found: dict[str, list[dict[str, float]]]) -> None:
    for name in (OURS, *OTHERS, *PEERS):
        p50s = [result["p50"] * 1000 for result in found[name]]
        p99s = [result["p99"] * 1000 for result in found[name]]
        floors = [1 + 4 * result["sync"] * 1000 for result in found[name]]
        ratio = median([p50 / floor for p50, floor in zip(p50s, floors, strict=True)])
        tail = median([p99 / floor for p99, floor in zip(p99s, floors, strict=True)])
        judged = name == OURS
        sync = median([result["sync"] * 1000 for result in found[name]])
        report.add(
            Line(
                "P3",
                f"at 100 events/s, first write to last output: {name}",
                f"p50 {median(p50s):.1f} ms, p99 {median(p99s):.1f} ms",
                f"fdatasync {sync:.2f} ms",
                f"{ratio:.1f} x, {tail:.1f} x",
                *(
                    ("p50 <= 1 x (1 ms + 4 fdatasync), p99 <= 3 x", "", ratio <= 1 and tail <= 3)
                    if judged
                    else ()
                ),
            )
        )
