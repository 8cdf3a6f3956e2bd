"""Gateways of the plan: their topics and agents must exist, in any module.

Used by the planner, after the units, so that a gateway may also read dead letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..functions.placeholders import is_symbolic
from .model import Application, Authentication, Gateway
from .plan import AuthenticationSpec, GatewayPlan, HeaderSpec, UnitPlan
from .problems import Problems, did_you_mean, listed
from .resolving import Resolver
from .topics import Topics
from .yaml import Node


def plan_gateways(
    application: Application,
    topics: Topics,
    resolver: Resolver,
    units: Sequence[UnitPlan],
    problems: Problems,
) -> tuple[GatewayPlan, ...]:
    kinds = {agent.id: unit.spec.kind for unit in units for agent in unit.spec.agents}
    planned = []
    for gateway in sorted(application.gateways, key=lambda gateway: (gateway.id, gateway.type)):
        if gateway.agent:
            _check_agent(gateway, gateway.agent, resolver.text(gateway.agent), kinds, problems)
        planned.append(_plan_gateway(gateway, topics, resolver))
    return tuple(planned)


def _check_agent(
    gateway: Gateway, node: Node, agent: str, kinds: Mapping[str, str], problems: Problems
) -> None:
    if is_symbolic(agent):
        return
    if agent not in kinds:
        what = f"Gateway '{gateway.id}' names the agent '{agent}', which does not exist"
        why = f"there are {listed(sorted(kinds))}"
        problems.add(what, node.at, why=why, hint=did_you_mean(agent, kinds))
    elif kinds[agent] != "service":
        what = f"Gateway '{gateway.id}' names the agent '{agent}', which is no service"
        problems.add(what, node.at, why=f"it is a {kinds[agent]}; only a service answers HTTP requests")


def _plan_gateway(gateway: Gateway, topics: Topics, resolver: Resolver) -> GatewayPlan:
    def topic(node: Node | None) -> str | None:
        if node is None:
            return None
        name = resolver.text(node)
        topics.check_exists(name, node.at)
        return name

    names = {role.replace("-", "_"): topic(node) for role, node in gateway.topics.items()}
    return GatewayPlan(
        id=gateway.id,
        type=gateway.type,
        **names,
        agent_id=resolver.text(gateway.agent) if gateway.agent else None,
        parameters=gateway.parameters,
        headers=tuple(
            HeaderSpec(
                key=header.key,
                value=header.value,
                from_parameter=header.from_parameter,
                from_authentication=header.from_authentication,
            )
            for header in gateway.headers
        ),
        authentication=_authentication(gateway.authentication, resolver),
        events_topic=topic(gateway.events_topic),
    )


def _authentication(stated: Authentication | None, resolver: Resolver) -> AuthenticationSpec | None:
    if stated is None:
        return None
    return AuthenticationSpec(
        provider=stated.provider,
        configuration=resolver.value(stated.configuration) if stated.configuration else {},
        allow_test_mode=stated.allow_test_mode,
    )
