"""`language-detector`: writes a text's language into a header, and may drop other languages.

Knows the languages of LangStream's detector, but Galician (`gl`), for which lingua has no model;
both Norwegian forms answer `no`. A header of the same name is replaced.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import Field

from ....errors import MissingExtra
from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ._text import text_in

# Codes of ISO 639-1; lingua tells the two forms of Norwegian apart.
_CODES = "be ca da de el en eo es et fa fi fr hu is it lt nb nl nn pl pt ro ru sk sl sv th uk"
_RENAMED = {"nb": "no", "nn": "no"}
UNKNOWN = "unknown"

# More text does not change the answer, only how long it takes (half a second for a million characters).
_ENOUGH = 16_384


class LanguageDetectorConfig(AgentConfig):
    property: str = "language"
    allowed_languages: tuple[str, ...] = Field((), alias="allowedLanguages")


class LanguageDetector:
    def __init__(self, config: LanguageDetectorConfig, context: Context) -> None:
        self._config = config
        self._detector = _detector()

    def process(self, record: Record) -> Results:
        text = text_in(record, "language-detector")[:_ENOUGH].encode(errors="replace").decode()
        found = self._detector.detect_language_of(text)
        code = found.iso_code_639_1.name.lower() if found else UNKNOWN
        code = _RENAMED.get(code, code)
        if self._config.allowed_languages and code not in self._config.allowed_languages:
            return ()
        return (record.with_headers({self._config.property: code}),)


@cache
def _detector() -> Any:
    """One for the process; trigrams only, which needs 40 MB where all n-grams take 600."""
    try:
        from lingua import IsoCode639_1, Language, LanguageDetectorBuilder
    except ImportError:
        raise MissingExtra("lingua-language-detector", "text", "language-detector") from None
    languages = [Language.from_iso_code_639_1(getattr(IsoCode639_1, code.upper())) for code in _CODES.split()]
    return LanguageDetectorBuilder.from_languages(*languages).with_low_accuracy_mode().build()


AGENT = Declaration(
    type="language-detector",
    kind="processor",
    summary="Writes the language of a text into a header; optionally drops all but some languages.",
    config=LanguageDetectorConfig,
    handler=LanguageDetector,
    extra="text",
    example=Example(
        configuration={"allowedLanguages": ["en", "fr"]},
        record=Record("Où est la bibliothèque, s'il vous plaît ?", "k"),
        results=[Record("Où est la bibliothèque, s'il vous plaît ?", "k", (("language", "fr"),))],
    ),
)
