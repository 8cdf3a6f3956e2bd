"""Docker's configuration: who we are, and what is wrong with it, without telling a secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tidemill.knative.images.credentials import Credential, credential_for
from tidemill.knative.images.faults import ImageError

SECRET = "hunter2:with:colons"


def auth(user: str = "me", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def configure(docker: Path, **content: Any) -> None:
    (docker / "config.json").write_text(json.dumps(content))


def write_helper(docker: Path, name: str, script: str) -> None:
    file = docker / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_without_a_configuration_we_are_nobody(docker: Path) -> None:
    assert credential_for("ghcr.io") is None


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_an_entry_is_found_by_its_registry(docker: Path, key: str, registry: str) -> None:
    configure(docker, auths={"other.io": auth("you"), key: auth()})
    assert credential_for(registry) == Credential("me", SECRET)
    assert credential_for("ghcr.io.example.org") is None


def test_an_identity_token_comes_before_a_password(docker: Path) -> None:
    configure(docker, auths={"x.io": {**auth(), "identitytoken": "t"}})
    assert credential_for("x.io") == Credential(identity_token="t")


def test_helpers_are_asked_for_their_registry(docker: Path) -> None:
    write_helper(docker, "one", 'read r; echo "{\\"Username\\": \\"$1 $r\\", \\"Secret\\": \\"s\\"}"')
    configure(docker, credHelpers={"x.io": "one"}, auths={"x.io": auth(), "y.io": auth()})
    assert credential_for("x.io") == Credential("get x.io", "s")
    assert credential_for("y.io") == Credential("me", SECRET)


def test_the_store_is_asked_last_and_knows_the_hub_by_its_old_name(docker: Path) -> None:
    write_helper(docker, "all", 'read r; echo "{\\"Username\\": \\"$r\\", \\"Secret\\": \\"s\\"}"')
    configure(docker, credsStore="all", auths={"x.io": auth(), "docker.io": {}})
    assert credential_for("x.io") == Credential("me", SECRET)
    assert credential_for("docker.io") == Credential("https://index.docker.io/v1/", "s")


def test_a_helper_may_give_a_token(docker: Path) -> None:
    write_helper(docker, "all", """echo '{"Username": "<token>", "Secret": "s"}'""")
    configure(docker, credsStore="all")
    assert credential_for("x.io") == Credential(identity_token="s")


def test_a_helper_that_knows_nothing_is_no_error(docker: Path) -> None:
    write_helper(docker, "all", "echo credentials not found in native keychain; exit 1")
    configure(docker, credsStore="all")
    assert credential_for("x.io") is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"echo {SECRET} >&2; exit 3", "docker-credential-all failed"),
        (f"echo {SECRET}", "did not answer with a user and a secret"),
        ("""echo '{"Username": "u"}'""", "did not answer with a user and a secret"),
    ],
)
def test_a_broken_helper_is_named(docker: Path, script: str, message: str) -> None:
    write_helper(docker, "all", script)
    configure(docker, credsStore="all")
    with pytest.raises(ImageError, match=message) as caught:
        credential_for("x.io")
    assert SECRET not in str(caught.value)


def test_a_missing_helper_is_named(docker: Path) -> None:
    configure(docker, credHelpers={"x.io": "nowhere"})
    with pytest.raises(ImageError, match="docker-credential-nowhere, which is not on PATH"):
        credential_for("x.io")


def test_a_damaged_configuration_is_named(docker: Path) -> None:
    (docker / "config.json").write_text("{")
    with pytest.raises(ImageError, match=r"config\.json cannot be read"):
        credential_for("x.io")
    configure(docker, auths={"x.io": {"auth": "%%%"}})
    with pytest.raises(ImageError, match=r"entry of x\.io .* is damaged"):
        credential_for("x.io")


def test_no_secret_is_shown_by_accident() -> None:
    assert SECRET not in repr(Credential("me", SECRET, SECRET))
