"""The drawing of an application."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.application.mermaid import mermaid
from tidemill.application.planner import study

GOLDEN = Path(__file__).parent / "golden"


def draw(folder: Path) -> list[str]:
    return mermaid(study(folder)).splitlines()


def test_chat(write) -> None:
    lines = draw(GOLDEN / "chat" / "application")
    assert lines[0] == "flowchart LR"
    for line in (
        "external-client((Client))",
        'subgraph resources["Resources"]',
        'resource-vectordatabase[("VectorDatabase")]',
        'resource-local("local")',
        'topic-answers-topic(["answers-topic"])',
        'gateway-user-input[/"user-input"\\]',
        'subgraph pipeline-chatbot["Pipeline: <b>chatbot</b>"]',
        'agent-chatbot-query-vector-db-2("look-up")',
        "agent-chatbot-compute-ai-embeddings-1 -.-> topic-questions-topic",
        "agent-chatbot-compute-ai-embeddings-1 -.-> resource-local",
        "agent-chatbot-query-vector-db-2 -.-> resource-vectordatabase",
        "agent-chatbot-ai-chat-completions-3 --> topic-log-topic",
        "agent-chatbot-ai-chat-completions-3 --> topic-answers-topic",
        "gateway-bot-output -.-> topic-answers-topic",
        "gateway-user-input --> topic-questions-topic",
        "external-client --> gateways",
    ):
        assert line in lines


def test_what_comes_from_and_goes_to_the_outside() -> None:
    lines = draw(GOLDEN / "ingest" / "application")
    for line in (
        'external-source-reader(["External system"])',
        "agent-reader -.-> external-source-reader",
        "agent-reader --> agent-prepare",
        "agent-prepare --> topic-chunks",
        "agent-store --> resource-store",
    ):
        assert line in lines
    assert not any("external-sink" in line or "agent-prepare-input" in line for line in lines)


def test_edges_are_coloured_by_their_number() -> None:
    lines = draw(GOLDEN / "ingest" / "application")
    edges = [line for line in lines if " --> " in line or " -.-> " in line]
    styles = dict(line.removeprefix("linkStyle ").split(" stroke:") for line in lines if "linkStyle" in line)
    colours = {edges[int(number)]: colour for number, colour in styles.items()}
    assert colours["agent-reader -.-> external-source-reader"] == "#82E0AA"
    assert colours["agent-reader --> agent-prepare"] == "#5DADE2"
    assert colours["agent-store --> resource-store"] == "#F4D03F"


@pytest.mark.parametrize("case", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_every_node_of_an_edge_is_drawn(case: Path) -> None:
    lines = draw(case / "application")
    arrows = (" --> ", " -.-> ")
    edges = [line.split(arrow) for line in lines for arrow in arrows if arrow in line]
    drawn = {line.removeprefix("subgraph ").split("[")[0].split("(")[0] for line in lines}
    for start, end in edges:
        assert {start, end} <= drawn


def test_dead_letters_are_drawn_where_a_gateway_reads_them(write) -> None:
    pipeline = """
topics: [{name: a, creation-mode: create-if-not-exists}, {name: b, creation-mode: create-if-not-exists}]
errors: {on-failure: dead-letter}
pipeline: [{type: identity, input: a, output: b}, {type: identity, input: b}]
"""
    gateways = "gateways: [{id: failed, type: consume, topic: a-deadletter}]"
    lines = draw(write({"pipeline.yaml": pipeline, "gateways.yaml": gateways}))
    assert 'topic-a-deadletter(["a-deadletter"])' in lines
    assert "gateway-failed -.-> topic-a-deadletter" in lines
    assert not any("b-deadletter" in line for line in lines)
