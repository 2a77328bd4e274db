"""Exact arithmetic on small formulas: `a * x + b` with integers and fractions, nothing else.

Formula  + - * / % and parentheses over exact rationals; comparisons; lcm(a, b), root(n), whole(v)
Flow     the formulas of grammar.toml: drawing a problem, solving it, checking its conditions
Limits   A division by zero, the root of a non-square or the remainder of a fraction raises Unsolvable.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from skyloom.core.errors import BadInput

Number = int | Fraction
Numbers = Mapping[str, Number]
Evaluate = Callable[[Numbers], Number]

NAME: re.Pattern[str] = re.compile(r"[a-z]+")


class Unsolvable(Exception):
    """The formula has no exact value for these numbers."""


def plain(value: Number) -> Number:
    """An integer where the value is one."""
    return value if isinstance(value, int) or value.denominator != 1 else value.numerator


def show(value: Number) -> str:
    """`7`, `-3` or `5/6`."""
    return str(plain(value))


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise Unsolvable("division by zero")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return plain(Fraction(left) / Fraction(right))


def _remainder(left: Number, right: Number) -> Number:
    if not (isinstance(left, int) and isinstance(right, int)) or right == 0:
        raise Unsolvable("a remainder needs integers")
    return left % right


def _lcm(left: Number, right: Number) -> Number:
    if not (isinstance(left, int) and isinstance(right, int)):
        raise Unsolvable("lcm needs integers")
    return math.lcm(left, right)


def _root(value: Number) -> Number:
    root: int = math.isqrt(value) if isinstance(value, int) and value >= 0 else -1
    if root * root != value:
        raise Unsolvable("not a square")
    return root


def _whole(value: Number) -> Number:
    return int(isinstance(value, int))


BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda left, right: plain(left + right),
    ast.Sub: lambda left, right: plain(left - right),
    ast.Mult: lambda left, right: plain(left * right),
    ast.Div: _divide,
    ast.Mod: _remainder,
}
COMPARE: dict[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Gt: lambda left, right: left > right,
    ast.Lt: lambda left, right: left < right,
    ast.NotEq: lambda left, right: left != right,
}
FUNCTIONS: dict[str, Callable[..., Number]] = {
    "lcm": _lcm,
    "root": _root,
    "whole": _whole,
}


def _compiled(node: ast.expr) -> Evaluate:
    """The formula as a function: a search for an unknown asks it for thousands of values."""
    match node:
        case ast.Constant(value=int() as value):
            return lambda _: value
        case ast.Name(id=name):
            return lambda numbers: numbers[name]
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY:
            combine, first, second = BINARY[type(operator)], _compiled(left), _compiled(right)
            return lambda numbers: combine(first(numbers), second(numbers))
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARE:
            holds, first, second = COMPARE[type(operator)], _compiled(left), _compiled(right)
            return lambda numbers: int(holds(first(numbers), second(numbers)))
        case ast.Call(func=ast.Name(id=name), args=args) if name in FUNCTIONS:
            function, parts = FUNCTIONS[name], [_compiled(arg) for arg in args]
            return lambda numbers: function(*(part(numbers) for part in parts))
        case _:
            raise BadInput(_unreadable(ast.unparse(node)))


def _unreadable(part: str) -> str:
    return f"formula: cannot read `{part}`: use numbers, known names, + - * / %, {', '.join(FUNCTIONS)}"


@dataclass(frozen=True)
class Formula:
    """One formula over named numbers."""

    text: str

    @cached_property
    def evaluate(self) -> Evaluate:
        """The formula as a function of its numbers; raises BadInput where it holds anything but arithmetic."""
        return _compiled(ast.parse(self.text, mode="eval").body)

    def value(self, numbers: Numbers) -> Number:
        """Its exact value.

        Raises:
            Unsolvable: where it has none.
        """
        try:
            return self.evaluate(numbers)
        except KeyError as error:
            raise BadInput(_unreadable(str(error.args[0]))) from error

    def filled(self, numbers: Numbers) -> str:
        """The formula with numbers for names and without blanks: `3*4`."""
        return NAME.sub(lambda hit: show(numbers[hit[0]]) if hit[0] in numbers else hit[0], self.text).replace(" ", "")
