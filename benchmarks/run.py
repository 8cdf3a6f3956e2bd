"""`make bench`: what Tidemill promises of its speed, against what else there is, in one run.

Prints one table: P1 one function over HTTP, P2 and P3 a durable pipeline of three units, P4 cold start
and the way back from zero, P5 memory, P6 the ingress. Each peer has an environment of its own
(`suite/environments.py`). Ratios within a run mean something on any machine; figures do not.
Linux only: /proc says what a process tree costs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "suite"))

from environments import compile_everything
from processes import LOAD_CORE
from report import Report

ROWS = {
    "P1": "function",
    "P2": "pipeline",
    "P4": "coldstart",
    "P5": "memory",
    "P6": "ingress",
}
RESULTS = Path(__file__).parent / "results" / "latest.md"


def main() -> int:
    arguments = _arguments()
    wanted = {"P2" if row == "P3" else row for row in arguments.only.upper().split(",")}
    unknown = wanted - set(ROWS)
    if unknown:
        print(f"there is no row {', '.join(sorted(unknown))}; rows: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    compile_everything()
    os.sched_setaffinity(0, {LOAD_CORE})
    report = Report()
    # Beside the project: the disk is the one that users have, which a folder in memory is not.
    scratch_base = Path(__file__).parents[1] / ".cache" / "bench"
    scratch_base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_base, prefix="run-") as scratch:
        for row, module in ROWS.items():
            if row in wanted:
                print(f"{row} …", file=sys.stderr)
                importlib.import_module(module).run(report, Path(scratch), short=arguments.short)
    print(report.text())
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(report.markdown())
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer rounds: under three minutes")
    parser.add_argument("--only", default=",".join(ROWS), metavar="P1,P4", help="these rows")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} as well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
