"""P5: memory of an idle application with its units at zero, and of a worker that was forked."""

from __future__ import annotations

import time
from pathlib import Path

import servers
from events import request
from load import exchange, free_port
from processes import group, memory_mib, started
from real_run import running
from report import Line, Report, median

PIPELINE = """
topics:
  - {name: a, creation-mode: create-if-not-exists}
  - {name: b, creation-mode: create-if-not-exists}
  - {name: c, creation-mode: create-if-not-exists}
  - {name: d, creation-mode: create-if-not-exists}
pipeline:
  - {id: one, input: a, output: b, type: identity}
  - {id: two, input: b, output: c, type: python-processor, configuration: {className: marking.Mark}}
  - {id: three, input: c, output: d, type: text-normaliser}
"""


def run(report: Report, scratch: Path, *, short: bool) -> None:
    files = {"pipeline.yaml": PIPELINE, "python/marking.py": servers.USER_CODE}
    with running(scratch / "memory", files) as application:
        application.wait_for(
            lambda: set(group(application.leader)) == application.standing(), "units at zero"
        )
        idle = sum(memory_mib(pid, "Pss") for pid in group(application.leader))
        exchange(application.port, request("/default/a", "1", "k"))
        application.wait_for(lambda: len(application.workers()) == 3, "three workers")
        time.sleep(0.5)  # the last of them has answered
        private = [memory_mib(pid, "Private_Clean", "Private_Dirty") for pid in sorted(application.workers())]
    peers = [servers.func_python(), servers.functions_framework()]
    theirs = {peer.name: _peer(peer) for peer in peers}
    for name, value in theirs.items():
        ratio = idle / value
        judged = name == "functions-framework"
        report.add(
            Line(
                "P5",
                f"PSS: idle application of three units at zero, against one function of {name}",
                f"{idle:.0f} MiB",
                f"{value:.0f} MiB",
                f"{ratio:.2f} x",
                *(("<= 60 MiB", "", idle <= 60) if judged else ()),
            )
        )
    said = ", ".join(f"{value:.1f}" for value in private)
    largest = max(private)
    report.add(
        Line(
            "P5",
            "private memory of a forked worker (largest)",
            f"{largest:.1f} MiB",
            "",
            "",
            "<= 6 MiB",
            "",
            largest <= 6,
        )
    )
    report.note(f"P5: private memory of the three workers: {said} MiB, median {median(private):.1f}.")


def _peer(server: servers.Server) -> float:
    port = free_port()
    command, variables = server.at(port)
    with started(command, variables) as process:
        exchange(port, request("/", "1", "k"))
        return sum(memory_mib(pid, "Pss") for pid in group(process.pid))
