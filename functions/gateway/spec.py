"""What the gateway is told: the gateways of one application, as plain values.

Written by the planner (`application/plan.py` holds a Plan's `gateways` in this form), read by
`gateway_app`. Free of secrets: `authentication.configuration` keeps its `${secrets.…}` as text.
"""

from __future__ import annotations

from typing import Any, Literal

from ..unit import Spec

GatewayType = Literal["produce", "consume", "chat", "service"]


class HeaderSpec(Spec, frozen=True, kw_only=True):
    """A header that a gateway sets or filters by; exactly one of the three origins is set."""

    key: str
    value: str | None = None
    from_parameter: str | None = None
    from_authentication: str | None = None


class AuthenticationSpec(Spec, frozen=True, kw_only=True):
    """Who may use a gateway."""

    provider: str
    configuration: dict[str, Any] = {}
    allow_test_mode: bool = True


class GatewayPlan(Spec, frozen=True, kw_only=True):
    """One entry of gateways.yaml.

    produce: `topic`, `headers` set on records. consume: `topic`, `headers` filter. chat: records go
    to `questions_topic`, answers come from `answers_topic`, `headers` do both. service: `agent_id`,
    or `input_topic` and `output_topic`, with `headers` set on records.
    """

    id: str
    type: GatewayType
    topic: str | None = None
    questions_topic: str | None = None
    answers_topic: str | None = None
    input_topic: str | None = None
    output_topic: str | None = None
    agent_id: str | None = None
    parameters: tuple[str, ...] = ()
    headers: tuple[HeaderSpec, ...] = ()
    authentication: AuthenticationSpec | None = None
    events_topic: str | None = None
