"""One real Kafka for all tests of this folder; the end of the run says which.

They run by `make test-kafka` only, so that `make test` needs no Java; there they count as deselected.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kafka_server import Server, kafka_server

_KAFKA_PYTHON = r"ignore:(read|open)_text is deprecated:DeprecationWarning"
_used: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka: needs a real Kafka; run by make test-kafka")
    config.addinivalue_line("filterwarnings", _KAFKA_PYTHON)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker("kafka")
    if "kafka" not in config.option.markexpr:
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Server]:
    with kafka_server() as server:
        _used.append(server.kind)
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for kind in _used:
        terminalreporter.write_line(f"Kafka of this run: {kind}")
