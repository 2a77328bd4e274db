"""Laws of the grader's exact rules: symmetric, reflexive, never raising, true to arithmetic."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.mathqa.verify.equivalence import RULES, compare, undecided
from skyloom.mathqa.verify.extraction import answer_of, find
from skyloom.mathqa.verify.grading import Grader

PIECES = st.sampled_from(
    ["1", "23", "0.5", ",", "1,000", "/", "-", "+", "(", ")", "[", "]", "{", "}", "\\{", "\\}", "\\frac", "\\sqrt", "^", "_", "x",
     "y", "=",
     "%", "\\%", "$", "cm", "odd", " ", "\\text{", "\\boxed{",
     "and", "\\pm", "\\cup", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "."]
)  # fmt: skip
ANSWERS = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=10).map("".join))
NUMBERS = st.fractions(min_value=-10_000, max_value=10_000, max_denominator=64)


@settings(max_examples=150, deadline=None)
@given(ANSWERS, ANSWERS)
def test_symmetric_and_never_raising(left: str, right: str) -> None:
    outcome = compare(left, right, undecided)
    assert compare(right, left, undecided) == outcome
    assert outcome.by in RULES


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_reflexive(text: str) -> None:
    found = answer_of(text)
    if found is not None and compare(found.answer, found.answer, undecided).by != "unreadable":
        assert compare(found.answer, found.answer, undecided).equal is True


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_extraction_never_raises_and_answers_stand_in_the_text(text: str) -> None:
    found = find(text)
    assert found is None or all(part in text for part in found.answer.split(", "))  # a row of boxes is joined


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS)
def test_numbers_are_equal_when_their_values_are(a: Fraction, b: Fraction) -> None:
    for left in spellings(a):
        for right in spellings(b):
            assert compare(left, right, undecided).equal is (a == b)
        for right in spellings(a):
            assert compare(left, right, undecided).equal is True


def spellings(value: Fraction) -> list[str]:
    sign, size = ("-" if value < 0 else ""), abs(value)
    whole, rest = divmod(size.numerator, size.denominator)
    texts = [
        f"{value}",
        f"{sign}\\frac{{{size.numerator}}}{{{size.denominator}}}",
        f"${sign}\\dfrac{{{size.numerator}}}{{{size.denominator}}}$",
    ]
    if rest and whole:
        texts += [f"{sign}{whole} {rest}/{size.denominator}", f"{sign}{whole}\\frac{{{rest}}}{{{size.denominator}}}"]
    if not rest:
        texts += [f"{sign}{whole:,}", f"{sign}{whole}.0", f"{sign}{whole}.", f"x = {sign}{whole}"]
    if size.denominator in (1, 2, 4, 8, 16, 32, 64):
        texts.append(f"{float(value):.6f}")
    return texts


@settings(max_examples=25, deadline=None)
@given(ANSWERS, ANSWERS)
def test_the_whole_grader_never_raises(left: str, right: str) -> None:
    assert GRADER.grade(left, right).by in RULES


GRADER = Grader()
