"""Exact formulas: known values, refusals, and no way out of arithmetic."""

from fractions import Fraction

import pytest

from skyloom.core.errors import BadInput
from skyloom.mathqa.world.expressions import Formula, Unsolvable, plain, show


@pytest.mark.parametrize(
    ("text", "numbers", "value"),
    [
        ("a + b", {"a": 3, "b": 4}, 7),
        ("a / b", {"a": 3, "b": 4}, Fraction(3, 4)),
        ("a / b", {"a": 8, "b": 4}, 2),
        ("a * (b - c) % d", {"a": 3, "b": 9, "c": 2, "d": 4}, 1),
        ("lcm(a, b)", {"a": 4, "b": 6}, 12),
        ("root(a)", {"a": 49}, 7),
        ("whole(a / b)", {"a": 3, "b": 2}, 0),
        ("a < b", {"a": 1, "b": 2}, 1),
    ],
)
def test_known_values(text, numbers, value):
    got = Formula(text).value(numbers)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", ["a / b", "a % b", "root(c)", "lcm(a, d)"])
def test_what_has_no_exact_value_is_unsolvable(text):
    with pytest.raises(Unsolvable):
        Formula(text).value({"a": 1, "b": 0, "c": 2, "d": Fraction(1, 2)})


@pytest.mark.parametrize("text", ["__import__('os')", "a ** 9", "x + 1", "a if a else b", "(lambda: a)()", "1.5"])
def test_anything_else_is_refused(text):
    with pytest.raises(BadInput, match="cannot read"):
        Formula(text).value({"a": 2, "b": 3})


def test_a_filled_formula_shows_numbers_in_place_of_names():
    assert Formula("lcm(a, b) * c / d").filled({"a": 4, "b": 6, "c": 5, "d": Fraction(1, 2)}) == "lcm(4,6)*5/1/2"
    assert show(plain(Fraction(6, 3))) == "2"
    assert show(Fraction(-5, 6)) == "-5/6"
