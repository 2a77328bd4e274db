"""Laws of the grader on generated answers: equality is reflexive and symmetric, transitive where it is decided, and blind to style.

Percent stands outside transitivity by its stated rule: 60% is 60 (the sign as a unit) and is 0.6, which are unequal.
"""

from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyloom.mathqa.verify import extraction, latex
from skyloom.mathqa.verify.answers import read
from skyloom.mathqa.verify.equivalence import compare, undecided
from skyloom.mathqa.verify.symbolic import same

CALM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUICK = settings(max_examples=300, deadline=None)
SCRAPS = st.sampled_from(
    [*"0123456789.,;()[]{}xyAB%+-=<>|:!*/ \n", r"\frac", r"\sqrt", r"\pm", r"\cup", r"\le", "and", "or", "^", "_", "$", "cm", "odd", "\\"]
)  # fmt: skip
TEXTS = st.lists(SCRAPS, max_size=12).map("".join) | st.text(max_size=20)
VALUES = st.sampled_from([Fraction(3), Fraction(-3), Fraction(1, 2), Fraction(-7, 4), Fraction(12_345), Fraction(5, 3)])


@st.composite
def spelled(draw: st.DrawFn, value: Fraction) -> str:
    """One of the ways to write a number."""
    sign, top, bottom, more = "-" if value < 0 else "", abs(value.numerator), value.denominator, draw(st.integers(2, 4))
    ways = [
        rf"{sign}\frac{{{top * more}}}{{{bottom * more}}}",
        f"{sign}{top}/{bottom}",
        rf"x = {sign}\frac{{{top}}}{{{bottom}}}",
    ]
    if bottom == 1:
        ways += [f"{sign}{top:,}", f"{sign}{top}.00", f"{sign}{top}", rf"{sign}{top}\text{{ cm}}"]
    if bottom in (2, 4):
        ways += (
            [f"{sign}{top / bottom}", f"{sign}{top // bottom} {top % bottom}/{bottom}"]
            if top > bottom
            else [f"{sign}{top / bottom}"]
        )
    return draw(st.sampled_from(ways))


@st.composite
def polynomial(draw: st.DrawFn, a: int, b: int) -> str:
    """One of the ways to write a(x + b)(x + 1)."""
    middle, last = a * (b + 1), a * b
    ways = [f"{a}(x+{b})(x+1)", f"{a}x^2+{middle}x+{last}", f"{last}+{middle}x+{a}x^{{2}}", rf"{a}\cdot\left(x+1\right)(x+{b})",
            f"({a}x+{last})(1+x)"]  # fmt: skip
    return draw(st.sampled_from(ways))


@st.composite
def answers(draw: st.DrawFn) -> tuple[object, str]:
    """(what it means, how it is written)"""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        value = draw(VALUES)
        return value, draw(spelled(value))
    if kind == 1:
        pair = draw(st.tuples(VALUES, VALUES))
        return pair, "(" + ",".join([draw(spelled(each)).removeprefix("x = ") for each in pair]) + ")"
    if kind == 2:
        members = draw(st.frozensets(VALUES, min_size=2, max_size=3))
        order = draw(st.permutations(sorted(members)))
        return members, r"\{" + "; ".join(
            [draw(spelled(each)).removeprefix("x = ").replace(",", "") for each in order]
        ) + r"\}"
    a, b = draw(st.sampled_from([(2, 3), (2, 5), (3, 1)]))
    return ("polynomial", a, b), draw(polynomial(a, b))


@st.composite
def styled(draw: st.DrawFn, text: str) -> str:
    """The same in another style of LaTeX, with other blanks."""
    text = text.replace(r"\frac", draw(st.sampled_from([r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"])))
    if draw(st.booleans()):
        text = text.replace(r"\left", "").replace(r"\right", "").replace("(", r"\left(").replace(")", r"\right)")
    gap = draw(st.sampled_from(["", " ", r"\,", r"\;", "\n"]))
    for mark in ("+", ")", "}", "="):
        text = text.replace(mark, mark + gap)
    opening, shut = draw(
        st.sampled_from([("", ""), ("$", "$"), ("$$", "$$"), (r"\(", r"\)"), (" ", "  "), (r"\[", r"\]")])
    )
    return opening + text + shut + draw(st.sampled_from(["", ".", "\n", r"\!"]))


@given(TEXTS)
@QUICK
def test_reflexive_on_any_text(text: str) -> None:
    equal = compare(text, text, undecided).equal
    assert equal is (True if read(text).form else None) or equal is True


@given(TEXTS, TEXTS)
@QUICK
def test_symmetric_on_any_text(left: str, right: str) -> None:
    assert compare(left, right, undecided).equal == compare(right, left, undecided).equal


@given(answers(), answers())
@CALM
def test_equal_just_where_they_mean_the_same(left: tuple[object, str], right: tuple[object, str]) -> None:
    outcome = compare(left[1], right[1], same)
    assert compare(right[1], left[1], same).equal == outcome.equal
    assert bool(outcome.equal) == (left[0] == right[0])


@given(st.lists(TEXTS, min_size=2, max_size=2), st.data())
@CALM
def test_transitive_where_decided(texts: list[str], data: st.DataObject) -> None:
    value = data.draw(VALUES)
    a, b, c = (data.draw(spelled(value) | st.sampled_from(texts)) for _ in range(3))
    if "%" in a + b + c or "," in "".join(texts):
        return
    if compare(a, b, undecided).equal and compare(b, c, undecided).equal:
        assert compare(a, c, undecided).equal is not False


@given(answers(), st.data())
@CALM
def test_style_never_changes_a_verdict(answer: tuple[object, str], data: st.DataObject) -> None:
    _, text = answer
    _, other = data.draw(answers())
    assert compare(text, data.draw(styled(text)), same).equal, text
    assert compare(data.draw(styled(text)), data.draw(styled(other)), same).equal == compare(text, other, same).equal


@given(st.from_regex(r"-?[0-9]{1,9}([.,][0-9]{1,4}){0,3}", fullmatch=True))
@QUICK
def test_a_plain_numeral_needs_no_cleaning(text: str) -> None:
    assert latex.clean(text) == latex._clean(text)


@given(
    st.lists(
        st.sampled_from(
            ["The answer is 7.", "\n#### 8\n", "\nAnswer: 9\n", r"\boxed{4}", "so we add the rest ", "x " * 300]
        ),
        max_size=8,
    )
)
@QUICK
def test_reading_from_the_end_finds_what_reading_it_all_finds(pieces: list[str]) -> None:
    text = "".join(pieces)
    box, at = extraction._last_box(text)
    marked = extraction._marked(text, max(0, at))
    found = extraction.find(text, "marked")
    assert (None if found is None else found.answer) == (marked or box)
