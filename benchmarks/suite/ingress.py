"""P6: events taken in over HTTP, each durable before its 202, from 64 connections."""

from __future__ import annotations

from pathlib import Path

from events import distinct
from load import drive
from pipeline_process import sync_seconds
from processes import SERVER_CORE, cpu_seconds, pin
from real_run import running
from report import Line, Report, median

# Nothing reads what is taken in: the unit is there because an application has one.
PIPELINE = """
topics:
  - {name: taken, creation-mode: create-if-not-exists}
  - {name: unused, creation-mode: create-if-not-exists}
  - {name: out, creation-mode: create-if-not-exists}
pipeline:
  - {id: rest, input: unused, output: out, type: identity}
"""
CONNECTIONS = 64
TARGET = 10_000


def run(report: Report, scratch: Path, *, short: bool) -> None:
    rates, cpu, syncs = [], [], []
    with running(scratch / "ingress", {"pipeline.yaml": PIPELINE}) as application:
        pin(application.leader, SERVER_CORE)
        make = distinct("/default/taken")
        port = application.port
        drive(port, make, connections=CONNECTIONS, seconds=0.5)
        for _ in range(2 if short else 7):
            before = cpu_seconds(application.leader)
            load = drive(port, make, connections=CONNECTIONS, seconds=1.5)
            if load.refused:
                raise AssertionError(f"the ingress refused {load.refused} of {load.answers} events")
            cpu.append((cpu_seconds(application.leader) - before) / load.answers * 1e6)
            rates.append(load.rate)
            syncs += sync_seconds(scratch, 20)
    rate, spent = median(rates), median(cpu)
    report.add(
        Line(
            "P6",
            f"ingress over HTTP, durable before 202, {CONNECTIONS} connections, one core",
            f"{rate:,.0f}/s, best {max(rates):,.0f}/s",
            f"fdatasync {median(syncs) * 1000:.2f} ms",
            f"{spent:.0f} µs of CPU, {1e6 / spent:,.0f}/s",
            f">= {TARGET:,}/s",
            "",
            rate >= TARGET,
        )
    )
