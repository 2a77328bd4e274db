"""One spelling of LaTeX: what reads the same has the same words, what does not has not, and no text takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.text.latex import plain
from skyloom.core.text.normal import normal


def said(text):
    return normal(plain(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"$\frac{1}{2}$", r"\(\dfrac12\)"),
        (r"$\tfrac1{2}$", "1/2"),
        (r"$\frac{a+b}{\frac12}$", "(a+b)/((1)/(2))"),
        (r"\left( x^2 \right)", "(x^{2})"),
        (r"$x\leq3$", "$x \\le 3$"),
        (r"$x \ge 3$", "x ≥ 3"),
        (r"\text{Find } x", "Find x"),
        (r"$3\cdot 4$", r"3 \times 4"),
        (r"$1{,}000$ and $2,\!500$", "1,000 and 2,500"),
        (r"$90^\circ$", "90°"),
        (r"$90^{\circ}$", r"90 \degree"),
        (r"\log_21", r"\log_2 1"),
        (r"a\,b\quad c", "a b c"),
        (r"\begin{align*}x&=1\\y&=2\end{align*}", "x=1 y=2"),
        (r"$\pi r^2$", "π r^2"),
        ("f [asy]\ndraw((0,0)--(1,1));[/asy]", "f [asy]draw( (0,0) -- (1,1) );[/asy]"),
    ],
)
def test_styles_of_one_thing_are_one(one, other):
    assert said(one) == said(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"$\frac{1}{2}$", r"$\frac{1}{3}$"),
        ("x^2", "x_2"),
        (r"x \le 3", r"x \ge 3"),
        (r"\sqrt{2}", "2"),
        ("[asy]draw((0,0)--(1,1));[/asy] x?", "[asy]draw((0,0)--(1,2));[/asy] x?"),
        (r"\overline{AB}", "AB"),
        (r"\leftarrow x", "x"),
    ],
)
def test_what_reads_otherwise_stays_apart(one, other):
    assert said(one) != said(other)


def test_a_text_without_latex_comes_back():
    assert plain("Anna has 6 stamps.\n\nHow many?") == "Anna has 6 stamps.\n\nHow many?"


PIECES = st.sampled_from(
    [
        r"\frac",
        "{",
        "}",
        "1",
        "12",
        "x",
        "$",
        r"\left",
        "(",
        ")",
        "^",
        "_",
        r"\text",
        " ",
        "~",
        r"\,",
        "[asy]",
        "[/asy]",
    ]
)


@given(st.lists(PIECES, max_size=25), st.data())
def test_blanks_in_front_of_words_change_nothing(pieces, data):
    """Dollar signs and spacing commands between pieces that stand apart are style."""
    spaced = [piece for piece in pieces if "asy" not in piece]
    marks = [data.draw(st.sampled_from([" ", "  ", " $ ", r" \, ", r" \quad "])) for _ in spaced]
    one = " ".join(spaced)
    other = "".join(piece + mark for piece, mark in zip(spaced, marks, strict=True))
    if not any(piece in (r"\frac", r"\text", "_", "^", r"\left") for piece in spaced):
        assert said(one) == said(other)
    assert isinstance(plain("".join(pieces)), str)


@pytest.mark.parametrize(
    "piece", ["[asy] ", r"\text{", r"\frac{", r"\frac{1}{2}", "_ ", "^{ ", "$", "& \\", "\\", "{,}"]
)
def test_a_long_text_takes_no_square_of_its_length(piece):
    def seconds(size):
        start = time.perf_counter()
        plain(piece * (size // len(piece)))
        return time.perf_counter() - start

    seconds(1_000)
    assert seconds(400_000) < 20 * max(min(seconds(100_000), seconds(100_000)), 0.002)
