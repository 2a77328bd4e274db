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

NAME: re.Pattern[str] = re.compile(r"[a-z]+")


class Unsolvable(Exception):
    """The formula has no exact value for these numbers."""


def plain(value: Number) -> Number:
    """An integer where the value is one."""
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def show(value: Number) -> str:
    """`7`, `-3` or `5/6`."""
    return str(plain(value))


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise Unsolvable("division by zero")
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


def _value(node: ast.expr, numbers: Numbers) -> Number:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name) if name in numbers:
            return numbers[name]
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY:
            return BINARY[type(operator)](_value(left, numbers), _value(right, numbers))
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARE:
            return int(COMPARE[type(operator)](_value(left, numbers), _value(right, numbers)))
        case ast.Call(func=ast.Name(id=name), args=args) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(arg, numbers) for arg in args))
        case _:
            raise BadInput(
                f"formula: cannot read `{ast.unparse(node)}`: use numbers, known names, + - * / %, {', '.join(FUNCTIONS)}"
            )


@dataclass(frozen=True)
class Formula:
    """One formula over named numbers."""

    text: str

    @cached_property
    def tree(self) -> ast.expr:
        """The parsed formula."""
        return ast.parse(self.text, mode="eval").body

    def value(self, numbers: Numbers) -> Number:
        """Its exact value.

        Raises:
            Unsolvable: where it has none.
        """
        return _value(self.tree, numbers)

    def filled(self, numbers: Numbers) -> str:
        """The formula with numbers for names and without blanks: `3*4`."""
        return NAME.sub(lambda hit: show(numbers[hit[0]]) if hit[0] in numbers else hit[0], self.text).replace(" ", "")
