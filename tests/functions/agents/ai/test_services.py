"""Which service is called, how, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from contract.context import TestContext, results, running
from support.openai_server import (
    Answer,
    Reply,
    Silence,
    StandIn,
    Stream,
    chat,
    chat_chunk,
    error,
    serving,
)

from tidemill.errors import ConfigurationError, NotFound
from tidemill.functions.agents.ai import _services
from tidemill.functions.agents.ai._services import EMBEDDED, ModelError, Service, choose
from tidemill.functions.outcome import failure
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record

KEY = "sk-very-secret-0123"


def resource(name: str, kind: str = "open-ai-configuration", **configuration: str) -> ResourceSpec:
    named = {key.replace("_", "-"): value for key, value in configuration.items()}
    return ResourceSpec(id=name, type=kind, configuration=named)


def context(*resources: ResourceSpec) -> TestContext:
    return TestContext(resources={spec.id: spec for spec in resources})


# --- the choice ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "  "])
def test_without_a_key_the_embedded_models_answer(key: str) -> None:
    assert choose(context(), None) is EMBEDDED
    assert choose(context(resource("open", access_key=key)), None) is EMBEDDED
    assert choose(context(resource("open", access_key=key)), "open") is EMBEDDED


def test_an_endpoint_of_ones_own_needs_no_key() -> None:
    found = choose(context(resource("own", access_key="", url="http://localhost:8000/v1")), None)
    assert found == Service("own", "", "http://localhost:8000/v1")


def test_the_address_of_a_server_means_its_usual_path() -> None:
    assert choose(context(resource("own", url="http://ollama:11434/")), None).url == "http://ollama:11434/v1"


def test_azure_keeps_its_own_paths() -> None:
    found = choose(context(resource("az", access_key=KEY, url="https://x.azure.com", provider="azure")), None)
    assert found == Service("az", KEY, "https://x.azure.com", azure=True)


def test_the_named_resource_wins_over_the_order() -> None:
    there = context(
        resource("z", access_key="1"), resource("a", access_key="2"), resource("db", kind="datasource")
    )
    assert choose(there, None).name == "a"
    assert choose(there, "z").name == "z"
    with pytest.raises(NotFound, match="there are: a, z"):
        choose(there, "db")


def test_openai_goes_before_others_and_others_are_refused_by_name() -> None:
    bedrock = resource("amazon", kind="bedrock-configuration")
    assert choose(context(bedrock, resource("open", access_key="1")), None).name == "open"
    with pytest.raises(ConfigurationError, match=r"'amazon' has the type bedrock-configuration"):
        choose(context(bedrock), None)


# --- calls -----------------------------------------------------------------------------------------

CONFIGURATION = {"model": "m", "messages": [{"content": "hi"}], "completion-field": "properties.a"}


async def ask(server: StandIn, **more: Any) -> tuple[Record, TestContext]:
    host = context(resource("service", access_key=KEY, url=server.url))
    async with running("ai-chat-completions", {**CONFIGURATION, **more}, host) as agent:
        (answered,) = await results(agent, Record("x"))
    assert isinstance(answered, Record)
    return answered, host


def test_azure_is_asked_by_deployment_with_its_own_header() -> None:
    async def main() -> None:
        async with serving() as server:
            address = server.url.removesuffix("/v1")
            host = context(resource("az", access_key=KEY, url=address, provider="azure"))
            async with running("ai-chat-completions", CONFIGURATION, host) as agent:
                await results(agent, Record("x"))
        (request,) = server.requests
        assert request.path == "/openai/deployments/m/chat/completions?api-version=2023-08-01-preview"
        assert request.headers["api-key"] == KEY
        assert "stream_options" not in request.body

    asyncio.run(main())


def test_the_key_is_a_bearer_token() -> None:
    async def main() -> None:
        async with serving() as server:
            await ask(server)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"

    asyncio.run(main())


SOON = {"retry_after_ms": "1"}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(status: int, stream: bool) -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(error(status, **SOON), error(status, **SOON))
            answered, host = await ask(server, stream=stream)
        assert answered.header("a") == "hi"
        assert len(server.requests) == 3
        assert host.counted["openai_chat_completions_num_errors_total"] == 0

    asyncio.run(main())


def test_it_is_asked_four_times_at_most() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(*[error(503, "overloaded", **SOON)] * 9)
            with pytest.raises(ModelError, match="answers HTTP 503: overloaded") as caught:
                await ask(server)
        assert len(server.requests) == 4
        assert not caught.value.permanent

    asyncio.run(main())


def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    """Retry-After is read: without it there would be another attempt."""

    async def main() -> None:
        async with serving() as server:
            server.will(error(429, retry_after="3600"))
            with pytest.raises(ModelError, match="HTTP 429"):
                await ask(server)
        assert len(server.requests) == 1

    asyncio.run(main())


FAILURES: dict[str, tuple[Answer, str, bool]] = {
    "bad request": (error(400, f"too long, {KEY}"), r"answers HTTP 400: too long, \*\*\*", True),
    "refused": (error(401, f"Incorrect API key provided: {KEY}"), r"refuses the access key", False),
    "unknown model": (error(404, "no such model"), "answers HTTP 404: no such model", False),
    "broken stream": (Stream([chat_chunk("a")], broken=True), "broke off", False),
    "error in the stream": (Stream([{"error": {"message": "lost"}}]), "lost", False),
    "no JSON in the stream": (Stream(["{"]), "cannot be used", False),
    "a web page": (Reply("<html>", content_type="text/html"), "cannot be used|gave no answer", False),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_told_without_the_key(name: str, caplog: pytest.LogCaptureFixture) -> None:
    answer, message, permanent = FAILURES[name]

    async def main() -> None:
        caplog.set_level(logging.DEBUG)
        async with serving() as server:
            server.will(answer)
            with pytest.raises(ModelError, match=message) as caught:
                await ask(server, stream=isinstance(answer, Stream))
        assert caught.value.permanent is permanent
        assert KEY not in repr(failure(caught.value))
        assert KEY not in caplog.text

    asyncio.run(main())


def test_no_choices_are_no_answer() -> None:
    async def main() -> None:
        async with serving() as server:
            server.will(Reply({"id": "1", "choices": []}))
            with pytest.raises(ModelError, match="gave no answer"):
                await ask(server, stream=False)

    asyncio.run(main())


@pytest.mark.parametrize("answer", [Silence(), Stream([chat_chunk("a"), asyncio.Event()])])
def test_silence_ends_with_a_time_out(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_services, "READ_SECONDS", 0.1)
    monkeypatch.setattr(_services, "MAX_RETRIES", 0)

    async def main() -> None:
        async with serving() as server:
            server.will(answer)
            with pytest.raises(ModelError, match="did not answer in time"):
                await ask(server)

    asyncio.run(main())


def test_a_service_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_services, "MAX_RETRIES", 0)

    async def main() -> None:
        async with serving() as server:
            pass
        with pytest.raises(ModelError, match="cannot be reached"):
            await ask(server)

    asyncio.run(main())


def test_the_connection_is_used_again_after_a_failure() -> None:
    async def main() -> None:
        async with serving() as server:
            host = context(resource("service", access_key=KEY, url=server.url))
            async with running("ai-chat-completions", CONFIGURATION, host) as agent:
                server.will(error(400), chat("x"))
                with pytest.raises(ModelError):
                    await results(agent, Record("x"))
                assert await results(agent, Record("x"))
        assert host.counted["openai_chat_completions_num_calls_total"] == 2
        assert host.counted["openai_chat_completions_num_errors_total"] == 1

    asyncio.run(main())


def test_missing_weights_are_named_with_the_command(
    tmp_path: Any, models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path))

    async def main() -> None:
        async with running("ai-chat-completions", CONFIGURATION) as agent:
            with pytest.raises(ModelError, match="tidemill model fetch"):
                await results(agent, Record("x"))

    asyncio.run(main())
