"""The table of binary operators.

Read by the compiler. `&&` and `||` are not here: they do not evaluate both sides.
"""

from __future__ import annotations

from collections.abc import Callable

from .arithmetic import add, divide, modulo, multiply, subtract
from .comparison import at_least, at_most, equal, greater, less, unequal
from .javatext import to_text
from .values import Value

BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "==": equal,
    "!=": unequal,
    "<": less,
    ">": greater,
    "<=": at_most,
    ">=": at_least,
    "+=": lambda left, right: to_text(left) + to_text(right),
}
