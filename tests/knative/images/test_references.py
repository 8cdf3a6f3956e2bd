"""Names of images are read as Docker reads them."""

from __future__ import annotations

import pytest

from tidemill.errors import UsageError
from tidemill.knative.images.references import Reference, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", Reference("docker.io", "library/python", "latest")),
        ("python:3.11-slim", Reference("docker.io", "library/python", "3.11-slim")),
        ("me/app", Reference("docker.io", "me/app", "latest")),
        ("index.docker.io/me/app:1", Reference("docker.io", "me/app", "1")),
        ("localhost/app", Reference("localhost", "app", "latest")),
        ("localhost:5001/app:1", Reference("localhost:5001", "app", "1")),
        ("ghcr.io/me/team/app:v1.2_3", Reference("ghcr.io", "me/team/app", "v1.2_3")),
        (f"quay.io/a/b@{DIGEST}", Reference("quay.io", "a/b", None, DIGEST)),
        (f"quay.io/a/b:1@{DIGEST}", Reference("quay.io", "a/b", "1", DIGEST)),
        ("[::1]:5000/a:1", Reference("[::1]:5000", "a", "1")),
    ],
)
def test_parts_of_a_name(text: str, expected: Reference) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ghcr.io/Me/App:1", "write 'me/app'"),
        ("my app", "write 'my-app'"),
        ("ghcr.io/me/app:", "a tag has"),
        ("ghcr.io/me/app:" + "x" * 129, "a tag has"),
        ("ghcr.io/me/app@sha256:12", "64 hexadecimal"),
        ("ghcr.io/", "name a path"),
        ("", "name a path"),
        ("ghcr.io/a//b", "write"),
    ],
)
def test_illegal_names_say_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="is no name of an image") as caught:
        parse(text)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("registry", "here"),
    [("localhost:5000", True), ("127.0.0.1:1", True), ("[::1]:5000", True), ("localhost.example.org", False)],
)
def test_which_registries_are_on_this_machine(registry: str, here: bool) -> None:
    assert Reference(registry, "a").on_this_machine is here
