"""Laws of masking: nothing but the number changes, no copy of it stays, the LaTeX stays whole, no text breaks it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.text.normal import SPELLED_NUMBERS
from skyloom.mathqa.masking import asking, mask, numbers, uses
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.verify.answers import read

WHOLE = st.integers(2, 10_000)
SMALL = st.integers(2, 19)
SPELLED = SPELLED_NUMBERS.split()[2:20]
# (text, value) of numbers as people write them
NUMBERS = st.one_of(
    WHOLE.map(lambda n: (str(n), Fraction(n))),
    WHOLE.map(lambda n: (f"{n:,}", Fraction(n))),
    WHOLE.map(lambda n: (f"${n}$", Fraction(n))),
    WHOLE.map(lambda n: (f"{n}%", Fraction(n))),
    WHOLE.map(lambda n: (f"${n}\\%$", Fraction(n))),
    WHOLE.map(lambda n: (f"${n}x$", Fraction(n))),
    WHOLE.map(lambda n: (f"$\\sqrt{{{n}}}$", Fraction(n))),
    WHOLE.map(lambda n: (f"$x^2+{n}$", Fraction(n))),
    WHOLE.map(lambda n: (f"{n} cm", Fraction(n))),
    SMALL.map(lambda n: (SPELLED[n - 2], Fraction(n))),
    st.integers(1, 9).map(lambda n: (f"$\\sqrt{n}$", Fraction(n))),
    st.integers(100, 99_999).map(lambda n: (f"{n / 100:.2f}", Fraction(n, 100))),
    st.tuples(SMALL, SMALL).map(lambda n: (f"{n[0]}/{n[1]}", Fraction(*n))),
    st.tuples(SMALL, SMALL).map(lambda n: (f"$\\frac{{{n[0]}}}{{{n[1]}}}$", Fraction(*n))),
    st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda n: (f"$\\dfrac{n[0]}{n[1]}$", Fraction(*n))),
    st.tuples(SMALL, st.integers(-4, 4)).map(lambda n: (f"${n[0]} \\cdot 10^{{{n[1]}}}$", n[0] * Fraction(10) ** n[1])),
)
LINKS = st.sampled_from(
    [" and ", ", then ", " nuts, but ", " or \\(y\\) or ", "; ", " [asy]draw((0.1,0.3));[/asy] ", "\n"]
)
SCRAPS = st.text(alphabet="0123456789.,/-+^_{}\\$% ()[]abxXdfrcsqt\n", max_size=40)


@st.composite
def questions(draw):
    told = draw(st.lists(NUMBERS, min_size=1, max_size=5))
    text = "He takes "
    for spelled, _ in told:
        text += spelled + draw(LINKS)
    return text + "so how many are left?", {value for _, value in told}


def balanced(text):
    depth = 0
    for place, char in enumerate(text):
        if char in "{}" and not text[:place].endswith("\\"):
            depth += 1 if char == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def check(question, exponents):
    found = numbers(question, exponents=exponents)
    assert len({abs(Fraction(number.value)) for number in found}) == len(found)
    for number in found:
        assert read(number.value).value == Fraction(number.value), "the grader reads the gold"
        try:
            told = mask(question, number)
        except Refused as error:
            assert error.reason == "no_letter"
            continue
        assert not uses(question, told.unknown)
        assert [told.text[start:stop].strip("{} ") for start, stop in told.spans] == [told.unknown] * len(number.spans)
        restored, done = "", 0
        for (start, stop), (was, until) in zip(told.spans, number.spans, strict=True):
            restored += told.text[done:start] + question[was:until]
            done = stop
        assert restored + told.text[done:] == question
        assert balanced(told.text) == balanced(question)
        yield number, told


@given(questions())
def test_a_number_is_found_hidden_everywhere_and_put_back(drawn):
    question, values = drawn
    assert {Fraction(number.value) for number in numbers(question)} == values
    for number, told in check(question, exponents=False):
        left = {Fraction(other.value) for other in numbers(told.text)}
        assert left == values - {Fraction(number.value)}


@given(SCRAPS, st.booleans())
def test_any_scrap_of_latex_is_masked_and_put_back(text, exponents):
    for _ in check(text, exponents):
        pass


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    for number in numbers(text, exponents=True):
        assert all(0 <= start < stop <= len(text) for start, stop in number.spans)
        assert all(a.stop <= b.start for a, b in zip(number.spans, number.spans[1:], strict=False))
    split = asking(text)
    assert split is None or split.question in text
