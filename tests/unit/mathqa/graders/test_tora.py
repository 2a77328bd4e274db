"""The ToRA-style grader: where it looks, what it takes for equal, and the false positives that it is known for."""

import pytest

from skyloom.mathqa.graders import tora
from skyloom.mathqa.verify.grading import grade


def told(gold, said):
    return tora.verdict(gold, f"So it is $\\boxed{{{said}}}$.", tora.Config())


@pytest.mark.parametrize(
    ("gold", "said", "by"),
    [
        ("1", "100", "number"),
        ("50", "0.5", "number"),
        ("123456", "123457", "number"),
        ("-x+1", "-(x+1)", "text"),
        ("a+bc", "(a+b)c", "text"),
        ("x^{23}", "x^{2}3", "text"),
        ("23", "2\\cdot3", "number"),
    ],
)
def test_its_known_false_positives_are_kept_and_are_not_ours(gold, said, by):
    assert (told(gold, said).equal, told(gold, said).by) == (True, by)
    assert not grade(gold, f"So it is $\\boxed{{{said}}}$.").equal


@pytest.mark.parametrize(
    ("gold", "said", "by"),
    [
        ("1000", "1,000", "number"),
        ("0.333333", "0.33333", "number"),
        ("\\frac{1}{12}", "0.0833333", "constant"),
        ("2\\sqrt{3}", "3.4641", "constant"),
        ("\\frac{\\pi}{4}", "0.785398", "constant"),
        ("(1,\\frac{9}{2})", "(1,4.5)", "members"),
        ("\\frac{x+2}{7}", "\\frac{x}{7}+\\frac{2}{7}", "algebra"),
        ("5", "x=5", "number"),
        ("10", "10\\%", "number"),
        ("10", "10\\text{ cm}", "number"),
        ("3", "3.00", "number"),
        ("1,2", "[1,2]", "text"),
        ("\\frac{3}{4}", "3/4", "text"),
    ],
)
def test_it_is_lenient_where_it_says_so(gold, said, by):
    assert (told(gold, said).equal, told(gold, said).by) == (True, by)


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("7", "8"),
        ("[1,2)", "(1,3)"),
        ("\\sqrt{2}", "1.42"),
        ("x+1", "x+2"),
        ("1,2", "2,1"),
        ("(1,2]", "[1,3]"),
        ("1", ""),
    ],
)
def test_it_is_no_pushover(gold, said):
    assert not told(gold, said).equal


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("It is \\boxed{4}, no, \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("It is $\\boxed 7$", "7"),
        ("The answer is: 12.\nBye", "12"),
        ("```python\nprint(3)\n```\n```output\n3\n```\nDone with 4", "3"),
        ("It has 1,200 and then 1,300 eggs", "1300"),
        ("nothing", ""),
        ("open \\boxed{4", "4"),
    ],
)
def test_where_it_looks(output, answer):
    assert tora.found(output) == answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2(3+4)", 14.0),
        ("\\frac{1}{2}\\sqrt{16}", 2.0),
        ("2^{3}", 8.0),
        ("-\\frac{\\sqrt{9}}{6}", -0.5),
        ("9^{9^{9^{9}}}", None),
        ("\\frac{1}{0}", None),
        ("(-8)^{0.5}", None),
        ("x+1", None),
        ("1,2", None),
        ("", None),
        ("(" * 150, None),
    ],
)
def test_constants(text, value):
    assert tora.constant(text) == (None if value is None else pytest.approx(value))
