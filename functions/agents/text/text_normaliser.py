"""`text-normaliser`: tidies white space and turns text into lower case."""

from __future__ import annotations

import re
from dataclasses import replace

from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ._text import text_in

# In this order, each once over the whole text: five newlines in a row become four, not two.
_TRIMS = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\t+", " "),
        (r" +", " "),
        (r"\n\n\n", "\n\n"),
        (r"(?: \n\n)+", " \n\n"),
        (r"(?: \n)+", "\n"),
        (r"\n ", "\n"),
    )
)
_BLANK = "".join(map(chr, range(0x21)))


class TextNormaliserConfig(AgentConfig):
    make_lowercase: bool = True
    trim_spaces: bool = True


class TextNormaliser:
    def __init__(self, config: TextNormaliserConfig, context: Context) -> None:
        self._config = config

    def process(self, record: Record) -> Results:
        text = text_in(record, "text-normaliser")
        if self._config.trim_spaces:
            text = _trim(text)
        if self._config.make_lowercase:
            text = text.lower()
        return (replace(record, value=text),)


def _trim(text: str) -> str:
    for pattern, by in _TRIMS:
        text = pattern.sub(by, text)
    return text.strip(_BLANK)


AGENT = Declaration(
    type="text-normaliser",
    kind="processor",
    summary="Collapses white space and turns text into lower case.",
    config=TextNormaliserConfig,
    handler=TextNormaliser,
    example=Example(record=Record("  Hello \t World \n", "k"), results=[Record("hello world", "k")]),
)
