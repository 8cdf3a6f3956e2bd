"""`camel-source`: a component of Apache Camel brings records in."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ...api import Declaration, Example
from ...config import AgentConfig
from ._elsewhere import CAMEL, refusing


class CamelConfig(AgentConfig):
    """`component-options` are appended to the endpoint `component-uri`, percent-encoded."""

    component_uri: str
    component_options: dict[str, Any] = Field(default_factory=dict)
    max_buffered_records: int = 100
    key_header: str | None = None


AGENT = Declaration(
    type="camel-source",
    kind="source",
    summary="Reads records with a component of Apache Camel.",
    config=CamelConfig,
    handler=refusing("camel-source", CAMEL),
    tested="plan only",
    runs_on=CAMEL,
    example=Example(
        configuration={
            "component-uri": "github:pullRequest/main",
            "component-options": {"repoOwner": "an-owner", "repoName": "a-repository"},
            "key-header": "CamelGitHubPullRequestHeadCommitSHA",
        },
    ),
)
