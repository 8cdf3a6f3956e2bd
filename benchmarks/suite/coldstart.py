"""P4: from nothing to the first answer, as a container (exec) and as a unit at zero (fork)."""

from __future__ import annotations

import time
from pathlib import Path

import servers
from environments import compile_everything
from events import request
from load import exchange, free_port
from pipeline_process import sync_seconds
from processes import SERVER_CORE, group, started
from real_run import Application, running
from report import Line, Report, median
from websockets.sync.client import connect

# Two durable writes stand between the request and what a reader sees: the event, and the unit's output.
DURABLE_WRITES = 2
WINDOW = 6  # seconds without records until a unit is at zero: the shortest that can be asked for
COPIES = 4  # of each unit, so that one window gives several samples
UNITS = {
    "identity": "type: identity",
    "python-processor": "type: python-processor, configuration: {className: marking.Mark}",
    "text-normaliser": "type: text-normaliser",
}


def run(report: Report, scratch: Path, *, short: bool) -> None:
    _from_exec(report, scratch / "exec", 3 if short else 9)
    _from_zero(report, scratch / "zero", 1 if short else 3)


# --- exec ----------------------------------------------------------------------------------------------


def _from_exec(report: Report, scratch: Path, rounds: int) -> None:
    ours = [servers.python_agent(scratch), servers.identity(scratch)]
    peers = [servers.func_python(), servers.functions_framework(), servers.uvicorn()]
    times: dict[str, list[float]] = {server.name: [] for server in [*ours, *peers]}
    compile_everything()
    for number in range(rounds + 1):  # the first one warms the page cache
        for server in [*ours, *peers]:
            port = free_port()
            command, variables = server.at(port)
            begun = time.perf_counter()
            with started(command, variables, core=SERVER_CORE):
                answer = exchange(port, request("/", "1", "k"))
                spent = time.perf_counter() - begun
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"{server.name} answers {answer[:200]!r}")
            if number:
                times[server.name].append(spent * 1000)
    for own in ours:
        for peer, limit in (("functions-framework", 0.6), ("func-python", 0.75), ("uvicorn", 0.0)):
            value, theirs = median(times[own.name]), median(times[peer])
            ratio = value / theirs
            report.add(
                Line(
                    "P4",
                    f"exec to first reply: {own.name} against {peer}",
                    f"{value:.0f} ms",
                    f"{theirs:.0f} ms",
                    f"{ratio:.2f} x",
                    *((f"<= {limit} x", "", ratio <= limit) if limit else ()),
                )
            )


# --- from zero -----------------------------------------------------------------------------------------


def _files() -> dict[str, str]:
    names = [f"{kind}-{copy}" for kind in UNITS for copy in range(COPIES)]
    topics = [
        f"  - {{name: {name}-{end}, creation-mode: create-if-not-exists, partitions: 1}}"
        for name in names
        for end in ("in", "out")
    ]
    agents = [
        f"  - {{id: {name}, input: {name}-in, output: {name}-out, "
        f"resources: {{scale: {{window: {WINDOW}}}}}, {UNITS[name.rpartition('-')[0]]}}}"
        for name in names
    ]
    gateways = [f"  - {{id: {name}, type: consume, topic: {name}-out}}" for name in names]
    return {
        "pipeline.yaml": "\n".join(["topics:", *topics, "pipeline:", *agents, ""]),
        "gateways.yaml": "\n".join(["gateways:", *gateways, ""]),
        "python/marking.py": servers.USER_CODE,
    }


def _from_zero(report: Report, scratch: Path, rounds: int) -> None:
    times: dict[str, list[float]] = {kind: [] for kind in UNITS}
    syncs = []
    with running(scratch / "waking", _files()) as application:
        for number in range(rounds):
            application.wait_for(lambda: not application.workers(), "zero", 60)
            application.wait_for(lambda: set(group(application.leader)) == application.standing(), "zero")
            for copy in range(COPIES):
                for kind in UNITS:
                    syncs += sync_seconds(scratch, 3)
                    times[kind].append(_wake(application, f"{kind}-{copy}", number))
    _zero_lines(report, times, median(syncs) * 1000)


def _wake(application: Application, unit: str, number: int) -> float:
    """Milliseconds from the event's request to the output's arrival at a client of the gateway."""
    name = f"{application.info()['application']}-{unit}"
    identity = next(each for each in application.info()["units"] if each in (unit, name))
    gateway = application.gateway.replace("http", "ws", 1)
    tenant, app = application.info()["tenant"], application.info()["application"]
    with connect(f"{gateway}/v1/consume/{tenant}/{app}/{unit}?option:position=latest") as client:
        if application.workers(identity) or application.strangers(identity):
            raise AssertionError(f"the unit {unit} is not at zero")
        port = application.port
        message = request(f"/{tenant}/{unit}-in", f"{unit}-{number}", "k")
        begun = time.perf_counter()
        answer = exchange(port, message)
        client.recv(timeout=30)
        spent = time.perf_counter() - begun
        if not answer.startswith(b"HTTP/1.1 202"):
            raise AssertionError(f"the ingress answers {answer[:200]!r}")
    return spent * 1000


def _zero_lines(report: Report, times: dict[str, list[float]], sync: float) -> None:
    for kind, values in times.items():
        value = median(values)
        rest = value - DURABLE_WRITES * sync
        report.add(
            Line(
                "P4",
                f"unit at zero to first answer: {kind}",
                f"{value:.1f} ms, min {min(values):.1f}",
                f"fdatasync {sync:.2f} ms",
                f"{rest:.1f} ms without {DURABLE_WRITES} writes",
                "<= 10 ms",
                "< 20 ms",
                value <= 10,
                value < 20,
            )
        )
    count = len(next(iter(times.values())))
    report.note(
        f"P4: from zero: median of {count}; from the HTTP request to the ingress until a WebSocket client"
    )
    report.note("    of the gateway has the output; no process of the unit before; nothing is pinned.")
