"""How the function of P1 and P4 is served: by Tidemill, with several agents, and by each peer.

Every handler does the same: parse the JSON, set one field, return the whole document as a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import PEERS, python_of, tidemill_python

from tidemill.functions.unit import AgentSpec, UnitSpec, write_unit

USER_CODE = '''"""A user's agents: as `async` method, and as plain method, which runs in a thread."""

import msgspec


class Mark:
    async def process(self, record):
        document = msgspec.json.decode(record.value().encode())
        document["seen"] = True
        return [(msgspec.json.encode(document).decode(), record.key(), record.headers())]


class MarkInThread:
    def process(self, record):
        document = msgspec.json.decode(record.value().encode())
        document["seen"] = True
        return [(msgspec.json.encode(document).decode(), record.key(), record.headers())]
'''
COMPUTE = {"fields": [{"name": "value.seen", "expression": "true"}]}


@dataclass(frozen=True, slots=True)
class Server:
    """A command that serves at a port, which it is told in its arguments or its environment."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    address: str = "PORT"  # the variable

    def at(self, port: int) -> tuple[tuple[str, ...], dict[str, str]]:
        command = tuple(part.replace("{port}", str(port)) for part in self.command)
        value = f"127.0.0.1:{port}" if self.address == "LISTEN_ADDRESS" else str(port)
        return command, {**self.variables, self.address: value}


def tidemill(scratch: Path, name: str, type: str, configuration: Mapping[str, Any]) -> Server:
    """One unit of one agent, served as in its container; without an ingress its output is the reply."""
    folder = scratch / name
    (folder / "python").mkdir(parents=True, exist_ok=True)
    (folder / "python" / "marking.py").write_text(USER_CODE)
    agent = AgentSpec(id="mark", type=type, configuration=dict(configuration))
    unit = UnitSpec(id="mark", kind="processor", agents=(agent,), input="in", output="out")
    (folder / "unit.json").write_bytes(write_unit(unit))
    variables = {"TIDEMILL_UNIT": str(folder / "unit.json"), "TIDEMILL_CODE": str(folder)}
    return Server(name, (str(tidemill_python()), "-m", "tidemill.functions.serve"), variables)


def python_agent(scratch: Path) -> Server:
    return tidemill(scratch, "python-processor", "python-processor", {"className": "marking.Mark"})


def python_agent_in_thread(scratch: Path) -> Server:
    return tidemill(
        scratch, "python-processor-plain", "python-processor", {"className": "marking.MarkInThread"}
    )


def compute(scratch: Path) -> Server:
    return tidemill(scratch, "compute", "compute", COMPUTE)


def identity(scratch: Path) -> Server:
    return tidemill(scratch, "identity", "identity", {})


def uvicorn() -> Server:
    return Server("uvicorn", (str(python_of("uvicorn")), str(PEERS / "uvicorn_codec.py"), "{port}"))


def func_python() -> Server:
    python = str(python_of("func-python"))
    return Server("func-python", (python, str(PEERS / "func_python_function.py")), address="LISTEN_ADDRESS")


def functions_framework() -> Server:
    python = python_of("functions-framework")
    source = str(PEERS / "framework_function.py")
    return Server(
        "functions-framework",
        (
            str(python.parent / "functions-framework"),
            *("--target", "handle", "--source", source, "--signature-type", "http"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
    )
