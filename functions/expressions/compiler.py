"""The syntax tree to Python closures.

Called by `compile_expression`, once per expression; the closures run once per record. Each node
becomes a function of the scope, a plain dictionary of variables. Nothing here reaches Python
attributes, methods or builtins: a member is a map's key or a list's index, a call is one of the
library's functions or a lambda of the same expression.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatchmethod
from typing import NoReturn, TypeAlias

from msgspec import Struct

from ...errors import ExpressionError, RecordError
from .arithmetic import negate
from .comparison import is_empty, lenient_truth, same, truth
from .javatext import to_text
from .library import FUNCTIONS
from .nodes import (
    Assign,
    Binary,
    Call,
    Choice,
    Composite,
    Constant,
    Entries,
    Invoke,
    Items,
    Lambda,
    Member,
    MethodCall,
    Name,
    Node,
    Sequence,
    Unary,
)
from .operators import BINARY
from .values import Byte, Value, ValueSet, is_number, kind_of

Scope: TypeAlias = dict[str, Value]
Closure: TypeAlias = Callable[[Scope], Value]
# Makes the test that `fn:filter` applies to each item, from the predicate's text and the scope.
PredicateMaker: TypeAlias = Callable[[str, Scope], Callable[[Value], bool]]

VARIABLES = (
    "value",
    "key",
    "properties",
    "topicName",
    "eventTime",
    "messageKey",
    "destinationTopic",
    "record",
)


class UnresolvedProperty(ExpressionError):
    """A name or a property does not exist; as the condition of an agent this counts as false."""


class LambdaValue(Struct, frozen=True):
    """A lambda with the scope in which it was made."""

    parameters: tuple[str, ...]
    body: Closure
    scope: Scope


class Compiler(Struct, frozen=True):
    """Compiles one expression. `lenient`: null counts as false in `&&`, `||`, `!` and `?:`."""

    text: str
    lenient: bool
    predicate: PredicateMaker

    # --- faults ---

    def fault(self, message: str, at: int) -> NoReturn:
        raise ExpressionError(self.place(message, at), expression=self.text, column=at)

    def unresolved(self, message: str, at: int) -> NoReturn:
        raise UnresolvedProperty(self.place(message, at), expression=self.text, column=at)

    def place(self, message: str, at: int) -> str:
        return f"{message}, at column {at} of the expression '{self.text}'"

    # --- nodes ---

    @singledispatchmethod
    def compile(self, node: Node) -> Closure:
        raise NotImplementedError(type(node))

    @compile.register
    def _(self, node: Constant) -> Closure:
        value = node.value
        return lambda scope: value

    @compile.register
    def _(self, node: Name) -> Closure:
        name, at = node.name, node.at

        def read(scope: Scope) -> Value:
            try:
                return scope[name]
            except KeyError:
                known = ", ".join(VARIABLES)
                self.unresolved(f"'{name}' is not known; there are: {known}", at)

        return read

    @compile.register
    def _(self, node: Member) -> Closure:
        base_of = self.compile(node.base)
        if isinstance(node.key, Constant) and type(node.key.value) is str and node.rooted:
            return self.field(base_of, node.key.value, node.at)
        key_of, rooted, at = self.compile(node.key), node.rooted, node.at

        def read(scope: Scope) -> Value:
            base = base_of(scope)
            if base is None:
                return None if rooted else self.unresolved("null has no properties", at)
            key = key_of(scope)
            return None if key is None else self.property_of(base, key, at)

        return read

    def field(self, base_of: Closure, name: str, at: int) -> Closure:
        """The commonest member: a constant name on what is most often a map."""

        def read(scope: Scope) -> Value:
            base = base_of(scope)
            if type(base) is dict:
                return base.get(name)
            return None if base is None else self.property_of(base, name, at)

        return read

    def property_of(self, base: Value, key: Value, at: int) -> Value:
        if isinstance(base, dict):
            try:
                return base.get(key)
            except TypeError:  # an unhashable key is no key of the map
                return None
        if isinstance(base, list | tuple | bytes) and not isinstance(base, ValueSet):
            return self.item_of(base, key, at)
        what = "text that is no JSON object" if isinstance(base, str) else f"a value of kind {kind_of(base)}"
        self.unresolved(f"{what} has no property '{to_text(key)}'", at)

    def item_of(self, base: Value, key: Value, at: int) -> Value:
        try:
            index = int(key) if isinstance(key, str) or is_number(key) or isinstance(key, bool) else None
        except (ValueError, OverflowError):
            index = None
        if index is None:
            self.fault(f"'{to_text(key)}' is no index of a list", at)
        if not 0 <= index < len(base):
            return None
        return Byte((base[index] + 128) % 256 - 128) if isinstance(base, bytes) else base[index]

    @compile.register
    def _(self, node: MethodCall) -> Closure:
        base_of, at = self.compile(node.base), node.at

        def refuse(scope: Scope) -> Value:
            if base_of(scope) is not None:
                self.fault("methods cannot be called; use the fn: functions", at)
            return None

        return refuse

    @compile.register
    def _(self, node: Call) -> Closure:
        if not node.prefix:
            return self.call_by_name(node)
        name, at = f"{node.prefix}:{node.name}", node.at
        function = FUNCTIONS[node.name]
        arguments = tuple(map(self.compile, node.arguments[0]))
        call = function.call
        if function.predicate:
            return self.call_with_predicate(name, call, arguments, at)

        def run(scope: Scope) -> Value:
            values = [argument(scope) for argument in arguments]
            try:
                return call(*values)
            except RecordError as error:
                self.fault(f"{name}: {error.message}", at)

        return run

    def call_with_predicate(
        self, name: str, call: Callable[..., Value], arguments: tuple[Closure, ...], at: int
    ) -> Closure:
        make = self.predicate
        items_of, text_of = arguments

        def run(scope: Scope) -> Value:
            items, text = items_of(scope), text_of(scope)
            try:
                return call(items, make("" if text is None else to_text(text), scope))
            except RecordError as error:
                self.fault(f"{name}: {error.message}", at)

        return run

    def call_by_name(self, node: Call) -> Closure:
        """A lambda held by a name."""
        name, at = node.name, node.at
        sets = self.argument_sets(node.arguments)

        def run(scope: Scope) -> Value:
            function = scope.get(name)
            if not isinstance(function, LambdaValue):
                self.fault(
                    f"there is no function '{name}'; the library's functions are written fn:{name}", at
                )
            return self.apply(function, sets, scope, at)

        return run

    def argument_sets(self, sets: tuple[tuple[Node, ...], ...]) -> list[list[Closure]]:
        return [[self.compile(argument) for argument in arguments] for arguments in sets]

    def apply(self, function: Value, sets: list[list[Closure]], scope: Scope, at: int) -> Value:
        for arguments in sets:
            if not isinstance(function, LambdaValue):
                self.fault("more pairs of parentheses than lambdas", at)
            values = [argument(scope) for argument in arguments]
            if len(values) < len(function.parameters):
                self.fault(f"the lambda takes {len(function.parameters)} arguments, found {len(values)}", at)
            inner = {**function.scope, **dict(zip(function.parameters, values, strict=False))}
            function = function.body(inner)
        return function

    @compile.register
    def _(self, node: Lambda) -> Closure:
        parameters, body = node.parameters, self.compile(node.body)
        nested = isinstance(node.body, Lambda)
        if not parameters and not nested:
            return body
        return lambda scope: LambdaValue(parameters, body, scope)

    @compile.register
    def _(self, node: Invoke) -> Closure:
        if not node.arguments:
            return self.compile(node.function)
        parameters, body = node.function.parameters, self.compile(node.function.body)
        sets, at = self.argument_sets(node.arguments), node.at
        return lambda scope: self.apply(LambdaValue(parameters, body, scope), sets, scope, at)

    @compile.register
    def _(self, node: Unary) -> Closure:
        operand, at = self.compile(node.operand), node.at
        if node.operator == "empty":
            return lambda scope: is_empty(operand(scope))
        test = self.condition(operand, at)
        if node.operator == "!":
            return lambda scope: not test(scope)

        def run(scope: Scope) -> Value:
            try:
                return negate(operand(scope))
            except ExpressionError:
                raise
            except RecordError as error:
                self.fault(error.message, at)

        return run

    def condition(self, operand: Closure, at: int) -> Callable[[Scope], bool]:
        coerce = lenient_truth if self.lenient else truth

        def test(scope: Scope) -> bool:
            value = operand(scope)
            if value is True or value is False:
                return value
            try:
                return coerce(value)
            except RecordError as error:
                self.fault(error.message, at)

        return test

    @compile.register
    def _(self, node: Binary) -> Closure:
        left, right, at = self.compile(node.left), self.compile(node.right), node.at
        if node.operator in ("&&", "||"):
            return self.logic(node.operator == "||", left, right, at)
        operate = BINARY[node.operator]

        def run(scope: Scope) -> Value:
            first, second = left(scope), right(scope)
            try:
                return operate(first, second)
            except RecordError as error:
                self.fault(error.message, at)

        return run

    def logic(self, decisive: bool, left: Closure, right: Closure, at: int) -> Closure:
        """`&&` or `||`: the left side decides, or the result is the right side, which may be null."""
        first, second = self.condition(left, at), self.condition(right, at)

        def run(scope: Scope) -> Value:
            return decisive if first(scope) is decisive else second(scope)

        def run_strictly(scope: Scope) -> Value:
            if first(scope) is decisive:
                return decisive
            value = right(scope)
            return None if value is None else truth(value)

        return run if self.lenient else run_strictly

    @compile.register
    def _(self, node: Choice) -> Closure:
        test = self.condition(self.compile(node.condition), node.at)
        positive, negative = self.compile(node.positive), self.compile(node.negative)
        return lambda scope: positive(scope) if test(scope) else negative(scope)

    @compile.register
    def _(self, node: Sequence) -> Closure:
        first, last = self.compile(node.first), self.compile(node.last)

        def run(scope: Scope) -> Value:
            first(scope)
            return last(scope)

        return run

    @compile.register
    def _(self, node: Assign) -> Closure:
        value_of, at = self.compile(node.value), node.at
        store = self.store(node.target, at)

        def run(scope: Scope) -> Value:
            value = value_of(scope)
            store(scope, value)
            return value

        return run

    def store(self, target: Node, at: int) -> Callable[[Scope, Value], None]:
        if isinstance(target, Name):
            return self.store_name(target.name, at)
        if not isinstance(target, Member):
            return lambda scope, value: self.fault("only a name or a member can be assigned", at)
        base_of, key_of = self.compile(target.base), self.compile(target.key)

        def store_member(scope: Scope, value: Value) -> None:
            base, key = base_of(scope), key_of(scope)
            if isinstance(base, dict):
                base[key] = value
            elif isinstance(base, list) and is_number(key) and 0 <= key < len(base):
                base[int(key)] = value
            else:
                self.unresolved(f"a value of kind {kind_of(base)} takes no assignment", at)

        return store_member

    def store_name(self, name: str, at: int) -> Callable[[Scope, Value], None]:
        def store(scope: Scope, value: Value) -> None:
            if name in VARIABLES:
                self.fault(f"'{name}' belongs to the record and cannot be assigned", at)
            scope[name] = value

        return store

    @compile.register
    def _(self, node: Items) -> Closure:
        items = [self.compile(item) for item in node.items]
        if not node.is_set:
            return lambda scope: [item(scope) for item in items]

        def make_set(scope: Scope) -> Value:
            found = ValueSet()
            for item in items:
                value = item(scope)
                if not any(same(value, other) for other in found):
                    found.append(value)
            return found

        return make_set

    @compile.register
    def _(self, node: Entries) -> Closure:
        entries = [(self.compile(key), self.compile(value)) for key, value in node.entries]
        return lambda scope: {key(scope): value(scope) for key, value in entries}

    @compile.register
    def _(self, node: Composite) -> Closure:
        parts = [self.compile(part) for part in node.parts]

        def join(scope: Scope) -> Value:
            values = (part(scope) for part in parts)
            return "".join(to_text(value) for value in values if value is not None)

        return join
