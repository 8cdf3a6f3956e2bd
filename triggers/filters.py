"""Which events a trigger wants: Knative's filter dialects over the attributes of an event.

Compiled once, when a unit starts, to a predicate that the dispatcher asks for each event it scans.
A missing attribute matches nothing, the data is never looked at, and the predicate never raises.
Every fault of a filter is found when it is compiled, with its path in the trigger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..errors import ConfigurationError, nearest
from ..record import Event

Predicate: TypeAlias = Callable[[Event], bool]
_Test: TypeAlias = Callable[[Mapping[str, str]], bool]

DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not", "cesql")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*\Z")
_SPECVERSION = "1.0"  # events carry it in no attribute of ours: there is only one


class FilterError(ConfigurationError):
    """A filter of a trigger is not valid; `path` says which part, as in `filters[0].not.prefix`."""

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}", hint=hint)


def compile_filters(
    filters: Sequence[Mapping[str, Any]] = (), attributes: Mapping[str, str] | None = None
) -> Predicate | None:
    """The predicate of a trigger's `filters`, all of which must match; None when every event passes.

    `attributes` is the older `filter.attributes`, which counts only where there are no `filters`.
    """
    if filters:
        test = _all(_listed(filters, "filters"))
    elif attributes:
        test = _legacy(attributes)
    else:
        return None
    return lambda event: test(event.attributes)


def _listed(filters: Any, path: str) -> list[_Test]:
    if not isinstance(filters, list | tuple) or not filters:
        raise FilterError(path, "must be a list of at least one filter")
    return [_compile(part, f"{path}[{index}]") for index, part in enumerate(filters)]


def _compile(filter: Any, path: str) -> _Test:
    if not isinstance(filter, Mapping) or len(filter) != 1:
        raise FilterError(path, f"must have exactly one dialect; there are: {', '.join(DIALECTS)}")
    ((dialect, body),) = filter.items()
    path = f"{path}.{dialect}"
    match dialect:
        case "exact":
            return _exact(_pairs(body, path))
        case "prefix":
            return _affix(_pairs(body, path), str.startswith)
        case "suffix":
            return _affix(_pairs(body, path), str.endswith)
        case "all":
            return _all(_listed(body, path))
        case "any":
            return _any(_listed(body, path))
        case "not":
            return _not(_compile(body, path))
        case "cesql":
            raise FilterError(
                path,
                "CloudEvents SQL is not supported yet",
                hint="use exact, prefix, suffix, all, any and not",
            )
    guess = nearest(str(dialect), DIALECTS)
    raise FilterError(
        path, f"unknown dialect '{dialect}'; there are: {', '.join(DIALECTS)}",
        hint=f"did you mean '{guess}'?" if guess else None,
    )  # fmt: skip


def _pairs(body: Any, path: str) -> list[tuple[str, str]]:
    if not isinstance(body, Mapping) or not body:
        raise FilterError(path, "must map at least one attribute to a text")
    for name, value in body.items():
        _check_name(name, path)
        if not isinstance(value, str) or not value:
            raise FilterError(f"{path}.{name}", f"must be a text that is not empty, not {value!r}")
    return list(body.items())


def _check_name(name: Any, path: str) -> None:
    if not isinstance(name, str) or not _ATTRIBUTE.match(name):
        raise FilterError(path, f"'{name}' cannot be an attribute: only a-z and 0-9, beginning with a letter")


def _value(attributes: Mapping[str, str], name: str) -> str:
    return attributes.get(name, _SPECVERSION if name == "specversion" else "")


def _exact(pairs: Sequence[tuple[str, str]]) -> _Test:
    return lambda attributes: all(_value(attributes, name) == wanted for name, wanted in pairs)


def _affix(pairs: Sequence[tuple[str, str]], has: Callable[[str, str], bool]) -> _Test:
    return lambda attributes: all(has(_value(attributes, name), wanted) for name, wanted in pairs)


def _all(tests: Sequence[_Test]) -> _Test:
    return tests[0] if len(tests) == 1 else lambda attributes: all(test(attributes) for test in tests)


def _any(tests: Sequence[_Test]) -> _Test:
    return lambda attributes: any(test(attributes) for test in tests)


def _not(test: _Test) -> _Test:
    return lambda attributes: not test(attributes)


def _legacy(wanted: Mapping[str, str]) -> _Test:
    """Exact values; here an empty one means that the attribute is there, whatever its value."""
    for name, value in wanted.items():
        _check_name(name, "filter.attributes")
        if not isinstance(value, str):
            raise FilterError(f"filter.attributes.{name}", f"must be a text, not {value!r}")
    exact = _exact([(name, value) for name, value in wanted.items() if value])
    present = [name for name, value in wanted.items() if not value and name != "specversion"]
    return lambda attributes: exact(attributes) and all(name in attributes for name in present)
