"""The paper's strict grader: what it says itself that it accepts and misses."""

import pytest

from skyloom.mathqa.graders import paper


def equal(gold, output, **config):
    return paper.verdict(gold, output, paper.Config(**config)).equal


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("\\frac{1}{2}", "\\dfrac12"),
        ("\\frac{1}{2}", "0.5"),
        ("\\frac{3}{4}", "3/4"),
        ("5", "x = 5"),
        ("30", "30^\\circ"),
        ("10", "10\\text{ cm}"),
        ("(1,2)", "\\left( 1, 2 \\right)"),
        ("24", "24\\%"),
        ("\\sqrt{3}", "\\sqrt3"),
        ("0.25", ".25"),
        ("10,\\!000", "10,000"),
    ],
)
def test_the_normaliser_reads_other_spellings(gold, said):
    assert equal(gold, f"Some work.\nThe answer is {said}.")


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("24\\%", "0.24"),
        ("1000", "1,000"),
        ("1+\\sqrt{2}, 1-\\sqrt{2}", "1-\\sqrt{2}, 1+\\sqrt{2}"),
        ("\\frac{1+a}{2}", "\\frac{a+1}{2}"),
        ("\\text{odd}", "odd"),
        ("5", "5 because x is 5"),
        ("24.01", "x = 2401/100 = 24.01"),
        ("5", "$5$"),
    ],
)
def test_it_is_strict_about_right_answers(gold, said):
    assert not equal(gold, f"The answer is {said}")


def test_the_marker_is_needed_and_the_last_one_counts():
    assert not equal("5", "So the value is 5")
    assert not equal("5", "\\boxed{5}")
    assert paper.verdict("5", "Thus 5", paper.Config()).by == "no_answer"
    assert equal("5", "The answer is 4. No.\nThe answer is: 5")
    assert not equal("4", "The answer is 4\nThe answer is: 5")
    assert equal("5", "The answer is 5.\nAnd that is all.")


def test_the_colon_is_a_setting():
    only_metamath = ("The answer is: ",)
    assert not equal("5", "The answer is 5", markers=only_metamath)
    assert equal("5", "The answer is: 5", markers=only_metamath)
    assert not equal("5", "The answer is: 5", markers=("The answer is ",))
