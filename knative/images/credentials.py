"""Who the user is for a registry, as Docker's configuration says.

Used by `registry.py`. Reads `config.json` in DOCKER_CONFIG or ~/.docker: a helper for the registry, then
the entry of `auths`, then the general helper. Nothing is written, and no value gets into an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .faults import ImageError
from .references import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_SECONDS = 60
_TOKEN_USER = "<token>"  # a helper's word for: the secret is an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """Name and password, or a token that is exchanged for others."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def configuration_file() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def credential_for(registry: str) -> Credential | None:
    """What Docker knows of the registry, or None. Raises ImageError."""
    configuration = _configuration()
    helpers = {_host(key): value for key, value in configuration.get("credHelpers", {}).items()}
    if helper := helpers.get(_host(registry)):
        return _ask(helper, registry)
    found = {_host(key): value for key, value in configuration.get("auths", {}).items() if value}
    if entry := found.get(_host(registry)):
        return _from_entry(entry, registry)
    if helper := configuration.get("credsStore"):
        return _ask(helper, registry)
    return None


def _configuration() -> dict[str, Any]:
    file = configuration_file()
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ImageError(f"{file} cannot be read: {error}", hint="docker login writes it anew") from None
    return found if isinstance(found, dict) else {}


def _host(key: str) -> str:
    """The registry that a key of the configuration means: keys may be URLs with paths."""
    host = key.removeprefix("https://").removeprefix("http://").split("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _from_entry(entry: dict[str, Any], registry: str) -> Credential:
    if token := entry.get("identitytoken"):
        return Credential(identity_token=str(token))
    if "auth" not in entry:
        return Credential(str(entry.get("username", "")), str(entry.get("password", "")))
    try:
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        what = f"the entry of {registry} in {configuration_file()} is damaged"
        raise ImageError(what, hint=f"docker login {registry}") from None
    return Credential(user, password.rstrip("\0"))


def _ask(helper: str, registry: str) -> Credential | None:
    """Docker's protocol of credential helpers: the registry on stdin, JSON back."""
    program = f"docker-credential-{helper}"
    key = _HUB_KEY if registry == DOCKER_HUB else registry
    try:
        done = subprocess.run(
            [program, "get"], input=key, capture_output=True, text=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        what = f"{configuration_file()} names the credential helper {program}, which is not on PATH"
        raise ImageError(what, hint=f"install {program}, or docker login {registry} without it") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{program} gave no answer in {_HELPER_SECONDS} seconds") from None
    if done.returncode != 0:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise ImageError(f"{program} failed", hint=f"run '{program} get' by hand to see why")
    try:
        found = json.loads(done.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise ImageError(f"{program} did not answer with a user and a secret") from None
    return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)
