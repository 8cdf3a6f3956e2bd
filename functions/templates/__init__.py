"""Mustache templates, as JMustache with its default settings renders them.

Used for prompts, texts to embed, and the headers and bodies of HTTP requests. `compile_template`
parses once when an agent starts; `Template.render` runs per record on a scope of plain values.
A missing or null variable is an error, on purpose: a prompt with a hole is worse than a failed
record. Double braces escape HTML, triple braces and `&` do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from ..expressions import Scope
from .parsing import Parser
from .segments import Context, Segment, render

ROOT_NAMES = ("value", "key", "properties", "topicName", "eventTime", "destinationTopic")


def template_scope(scope: Scope) -> dict[str, Any]:
    """The root names of a template, from the variables of a record's expressions."""
    return {name: scope[name] for name in ROOT_NAMES}


class Template(Struct, frozen=True):
    """A compiled template."""

    source: str
    segments: tuple[Segment, ...]

    def render(self, scope: Mapping[str, Any]) -> str:
        """The text. Raises TemplateError for what is missing or null."""
        out: list[str] = []
        render(self.segments, Context(scope), out)
        return "".join(out)


@lru_cache(maxsize=512)
def compile_template(source: str) -> Template:
    """Raises TemplateError of stage `compile`."""
    return Template(source, tuple(Parser(source).parse()))


def without_legacy_braces(source: str) -> str:
    """Chat messages and texts to embed may still be written with `{{%`."""
    return source.replace("{{%", "{{")
