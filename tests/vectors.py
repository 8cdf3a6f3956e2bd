"""Compares this implementation with golden results: `python tests/vectors.py DIR`.

DIR holds el.json, mustache.json, splitter.json and compute.json, results of runs of the original
engine (docs/deviations.md says where we differ and why). Prints one line per file, `el.json N/M`;
everything else goes to stderr. Exit status 0 when each file reaches 97 %.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tidemill.errors import TidemillError
from tidemill.functions.agents.transform.compute import ComputeFieldConfig, computed_field
from tidemill.functions.context import open_record
from tidemill.functions.expressions import compile_expression, times
from tidemill.functions.expressions import values as kinds
from tidemill.functions.expressions.javatext import to_text
from tidemill.functions.expressions.numeric import to_float32
from tidemill.functions.expressions.values import kind_of
from tidemill.functions.registry import declaration
from tidemill.functions.splitting import SplitterConfig, create_splitter
from tidemill.functions.templates import compile_template, template_scope
from tidemill.record import Record

FORGIVEN = {"mended", "java_specific", "engine_version_dependent"}
FLOOR = 0.97
FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
ERROR = object()


# --- golden notation -------------------------------------------------------------------------------


def _number(value: Any) -> float:
    return FLOATS[value] if value in FLOATS else float(value)


def _sql_time(text: str) -> kinds.SqlTime:
    return kinds.SqlTime(times.parse_time(text).nano_of_day // kinds.NANOS_PER_MILLI)


MARKS: dict[str, Callable[[Any], Any]] = {
    "$bytes": base64.b64decode,
    "$byte": kinds.Byte,
    "$short": kinds.Short,
    "$long": kinds.Long,
    "$float": lambda value: to_float32(_number(value)),
    "$double": _number,
    "$decimal": Decimal,
    "$biginteger": lambda value: kinds.BigInteger(int(value)),
    "$instant": times.parse_instant,
    "$timestamp": lambda value: kinds.Timestamp(times.parse_instant(value).nanos),
    "$date": lambda value: kinds.UtilDate(times.parse_instant(value).nanos // kinds.NANOS_PER_MILLI),
    "$time": _sql_time,
    "$local_date": times.parse_date,
    "$local_time": times.parse_time,
    "$local_date_time": times.parse_date_time,
    "$set": kinds.ValueSet,
}


def decode(value: Any) -> Any:
    """A value of an input."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, inner),) = value.items()
            if name in MARKS:
                return MARKS[name](inner)
        return {name: decode(inner) for name, inner in value.items()}
    return [decode(item) for item in value] if isinstance(value, list) else value


TEXT_KINDS = {"instant", "timestamp", "date", "time", "local_date", "local_time", "local_date_time"}
MARKED = {"byte", "short", "float", "bytes", *TEXT_KINDS, "decimal", "biginteger", "set"}


def encode(value: Any) -> Any:
    """A result in golden notation, without its top-level mark."""
    kind = kind_of(value)
    if kind in ("float", "double") and not math.isfinite(value):
        return to_text(value)
    if kind == "time":  # shown by Java's local time
        whole_seconds = value.millis // 1000 * 1000 * kinds.NANOS_PER_MILLI
        return to_text(kinds.LocalTime(whole_seconds % kinds.NANOS_PER_DAY))
    if kind in TEXT_KINDS or kind in ("decimal", "biginteger"):
        return str(int(value)) if kind == "biginteger" else to_text(value)
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "map":
        return {to_text(name): nested(item) for name, item in value.items()}
    if kind == "set":
        return sorted((nested(item) for item in value), key=repr)
    if kind == "list":
        return [nested(item) for item in value]
    return float(value) if kind in ("float", "double") else value


def nested(value: Any) -> Any:
    kind = kind_of(value)
    return {f"${kind}": encode(value)} if kind in MARKED else encode(value)


def equal(left: Any, right: Any) -> bool:
    """Equality that tells 1 from 1.0 and true, and not the order of keys."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def record_of(context: dict[str, Any]) -> Record:
    headers = context.get("headers") or {}
    pairs = headers.items() if isinstance(headers, dict) else map(tuple, headers)
    return Record(
        value=decode(context.get("value")),
        key=decode(context.get("key")),
        headers=tuple((name, decode(value)) for name, value in pairs),
        origin=context.get("origin"),
        timestamp=context.get("timestamp"),
    )


def outcome(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except (TidemillError, ValidationError):
        return ERROR


# --- the files -------------------------------------------------------------------------------------

AGENT_TYPES = {"string": "STRING", "int": "INT32", "list": "list"}


def run_el(case: dict[str, Any]) -> Any:
    context = open_record(record_of(case["context"]))
    scope = context.scope()
    mode, wanted = case["mode"], case["type"]
    if mode == "compute" and wanted is not None:
        field = ComputeFieldConfig(name="value.x", expression=case["expression"], type=wanted)
        return described(computed_field(field).evaluate(context))
    expression = compile_expression(
        case["expression"], filters_see="message" if mode == "compute" else "record", condition=mode == "when"
    )
    if mode == "when":
        result: Any = expression.test(scope)
    elif wanted is None:
        result = expression.evaluate(scope)
    else:
        result = expression.evaluate_as(scope, AGENT_TYPES[wanted])
    return described(result)


def described(result: Any) -> dict[str, Any]:
    return {"kind": kind_of(result), "value": encode(result)}


def check_el(case: dict[str, Any]) -> tuple[bool, Any]:
    result = outcome(lambda: run_el(case))
    if "error" in case:
        return result is ERROR, result
    return result is not ERROR and equal(result, case["expect"]), result


def run_mustache(case: dict[str, Any]) -> str:
    scope = case["scope"]
    if "record" in scope:
        names = {"record": decode(scope["record"])}
    else:
        names = template_scope(open_record(record_of(scope)).scope())
    return compile_template(case["template"]).render(names)


def check_mustache(case: dict[str, Any]) -> tuple[bool, Any]:
    result = outcome(lambda: run_mustache(case))
    return (result is ERROR if "error" in case else result == case["expect"]), result


def run_agent(case: dict[str, Any]) -> Record | None:
    """What the agent makes of the record; None if it drops it."""
    found = declaration(case["agent"])
    configuration = dict(case["configuration"])
    if case["agent"] == "drop":
        configuration.pop("fields", None)  # the original's runtime ignores it, its planner refuses it
    handler: Any = found.handler(found.config.model_validate(configuration), None)  # type: ignore[arg-type]
    return next(iter(handler.process(record_of(case["input"]))), None)


def shown_record(record: Record, *, unordered: bool) -> dict[str, Any]:
    def shown(value: Any) -> Any:
        return (
            json.loads(value) if unordered and isinstance(value, str) and value[:1] == "{" else nested(value)
        )

    return {
        "key": shown(record.key),
        "value": shown(record.value),
        "headers": dict(record.headers),
        "origin": record.origin,
        "timestamp": record.timestamp,
        "value_kind": kind_of(record.value),
        "key_kind": kind_of(record.key),
    }


def check_agent(case: dict[str, Any]) -> tuple[bool, Any]:
    result = outcome(lambda: run_agent(case))
    if result is ERROR or "error" in case:
        return result is ERROR and "error" in case, result
    if result is None or "dropped" in case:
        return result is None and "dropped" in case, result
    unordered = "unordered" in case.get("flags", ())
    expected = dict(case["output"])
    for name in ("key", "value") if unordered else ():
        if isinstance(expected[name], str) and expected[name][:1] == "{":
            expected[name] = json.loads(expected[name])
    shown = shown_record(result, unordered=unordered)
    return equal(shown, expected), shown


def run_splitter(case: dict[str, Any]) -> tuple[list[str], list[int]]:
    splitter = create_splitter(SplitterConfig.model_validate(case["config"]))
    chunks = splitter.split(to_text(decode(case["text"])))
    return chunks, [splitter.length(chunk) for chunk in chunks]


def check_splitter(case: dict[str, Any]) -> tuple[bool, Any]:
    result = outcome(lambda: run_splitter(case))
    if "error" in case:
        return result is ERROR, result
    return result == (case["chunks"], case["lengths"]), result


CHECKS: dict[str, Callable[[dict[str, Any]], tuple[bool, Any]]] = {
    "el.json": check_el,
    "mustache.json": check_mustache,
    "splitter.json": check_splitter,
    "compute.json": check_agent,
}


def passes(case: dict[str, Any], check: Callable[[dict[str, Any]], tuple[bool, Any]]) -> bool:
    try:
        good, result = check(case)
    except Exception as error:  # a crash is a failed case, not the end of the run
        good, result = False, repr(error)
    if good or FORGIVEN & set(case.get("flags", ())):
        return True
    shown = "an error" if result is ERROR else repr(result)
    print(f"{case['id']}: {json.dumps(case)[-600:]}\n  gave {shown}", file=sys.stderr)
    return False


def main(directory: str) -> int:
    ratios = []
    for name, check in CHECKS.items():
        cases = json.loads((Path(directory) / name).read_text())
        good = sum(passes(case, check) for case in cases)
        print(f"{name} {good}/{len(cases)}")
        ratios.append(good / len(cases))
    return 0 if min(ratios) >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
