"""P1: one CloudEvents function with reply over HTTP, CPU per event of the server's process tree."""

from __future__ import annotations

import contextlib
from pathlib import Path

import servers
from events import distinct, request
from load import drive, exchange, free_port
from processes import SERVER_CORE, cpu_seconds, started
from report import Line, Report, median

CONNECTIONS = 16
HALFWAY = 1.3


def run(report: Report, scratch: Path, *, short: bool) -> None:
    """Rounds of all servers, interleaved, each on one core and the load on the other."""
    ours = [
        servers.python_agent(scratch),
        servers.python_agent_in_thread(scratch),
        servers.compute(scratch),
        servers.identity(scratch),
    ]
    peers = [servers.uvicorn(), servers.func_python(), servers.functions_framework()]
    rounds, seconds = (2, 1.0) if short else (7, 1.5)
    cpu: dict[str, list[float]] = {server.name: [] for server in [*ours, *peers]}
    rate: dict[str, list[float]] = {server.name: [] for server in [*ours, *peers]}
    with contextlib.ExitStack() as stack:
        running = []
        for server in [*ours, *peers]:
            port = free_port()
            command, variables = server.at(port)
            log = scratch / f"{server.name}.log"
            process = stack.enter_context(started(command, variables, core=SERVER_CORE, output=log))
            _check(server.name, exchange(port, request("/", "first", "k")))
            running.append((server.name, port, process.pid))
        for number in range(rounds + 1):  # the first one warms up
            for name, port, pid in running:
                before = cpu_seconds(pid)
                load = drive(port, distinct("/"), connections=CONNECTIONS, seconds=seconds)
                if load.refused:
                    raise AssertionError(f"{name} refused {load.refused} of {load.answers} events")
                if number:
                    cpu[name].append((cpu_seconds(pid) - before) / load.answers * 1e6)
                    rate[name].append(load.rate)
    _lines(report, {name: median(values) for name, values in cpu.items()}, rate)


def _check(name: str, answer: bytes) -> None:
    if not answer.startswith(b"HTTP/1.1 200"):
        raise AssertionError(f"{name} answers {answer[:300]!r}")
    if name != "identity" and b'"seen"' not in answer:
        raise AssertionError(f"{name} replies without the field: {answer[-200:]!r}")


def _lines(report: Report, cpu: dict[str, float], rate: dict[str, list[float]]) -> None:
    def comparison(ours: str, peer: str, judged: bool) -> Line:
        value, theirs = cpu[ours], cpu[peer]
        if peer == "uvicorn":
            ratio, met, half = value / theirs, value <= 1.1 * theirs, value <= HALFWAY * theirs
            said, target, halfway = f"{ratio:.2f} x", "<= 1.1 x", f"<= {HALFWAY} x"
        else:
            least = 9 if peer == "func-python" else 12
            ratio = theirs / value
            met, half = ratio >= least, ratio >= least / 2
            said, target, halfway = f"1/{ratio:.1f}", f"<= 1/{least}", ""
        return Line(
            "P1",
            f"CPU per event: {ours} against {peer}",
            f"{value:.1f} µs, {median(rate[ours]):,.0f}/s",
            f"{theirs:.1f} µs, {median(rate[peer]):,.0f}/s",
            said,
            *((target, halfway, met, half) if judged else ()),
        )

    for ours in ("python-processor", "compute", "identity", "python-processor-plain"):
        report.add(comparison(ours, "uvicorn", ours != "python-processor-plain"))
    for peer in ("func-python", "functions-framework"):
        report.add(comparison("python-processor", peer, True))
    report.note("P1: python-processor is a user's class with an async method; -plain the same with a plain")
    report.note("    method, which runs in a thread of its own (about 20 µs by itself).")
