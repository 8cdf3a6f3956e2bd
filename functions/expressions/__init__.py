"""The expression language of conditions, computed fields and queries, and Java's text forms.

Agents use `compile_expression` when they start and the Expression per record; whatever writes maps
or lists as text uses `to_json`. An expression can read the record and nothing else: no attribute of
a Python object, no method, no import.
"""

from .compiler import Scope, UnresolvedProperty
from .conversions import TARGETS, convert
from .expression import Expression, compile_expression, empty_scope
from .javatext import to_json, to_text
from .jsontext import read_json, read_object
from .numeric import ConversionError

__all__ = [
    "TARGETS",
    "ConversionError",
    "Expression",
    "Scope",
    "UnresolvedProperty",
    "compile_expression",
    "convert",
    "empty_scope",
    "read_json",
    "read_object",
    "to_json",
    "to_text",
]
