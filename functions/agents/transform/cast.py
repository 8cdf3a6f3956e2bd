"""`cast`: converts the key or value to another type."""

from __future__ import annotations

from ....errors import ConfigurationError, nearest
from ....record import Record
from ...api import Context, Declaration, Example
from ...context import Part, TransformContext
from ...expressions import TARGETS, convert, read_object
from ...transforms import Transform, TransformConfig

# MAP is a type too, but nothing converts to it: such a cast fails on the first record.
TYPES = (TARGETS - {"DECIMAL"}) | {"MAP"}


class CastConfig(TransformConfig):
    """`part` absent: both key and value; `key`: the key; any other text: the value."""

    schema_type: str
    part: str | None = None


def cast_part(part: Part, target: str) -> None:
    """Convert in place. JSON that becomes text stays JSON; nothing happens where there is nothing."""
    if part.schema_type is None or part.schema_type == target:
        return
    if isinstance(part.value, dict) and target == "STRING":
        part.schema_type = target
        return
    value = convert(part.value, target)
    part.value = read_object(value) if isinstance(value, str) else value
    part.schema_type = target


def create(config: CastConfig, context: Context) -> Transform:
    target = config.schema_type
    if target not in TYPES:
        guess = nearest(target, TYPES)
        raise ConfigurationError(
            f"cast: '{target}' is no type to cast to; there are: {', '.join(sorted(TYPES))}",
            hint=f"did you mean '{guess}'?" if guess else None,
        )

    def cast(record: TransformContext) -> None:
        for part in record.parts(config.part):
            cast_part(part, target)

    return Transform(config, cast)


AGENT = Declaration(
    type="cast",
    kind="processor",
    summary="Converts keys and values to a type, such as text to a number.",
    config=CastConfig,
    handler=create,
    example=Example(
        configuration={"schema-type": "DOUBLE", "part": "value"},
        record=Record("42", "k"),
        results=[Record(42.0, "k")],
    ),
)
