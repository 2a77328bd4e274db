"""The Minerva-style grader: its closing phrase, its lists, its algebra."""

import pytest

from skyloom.mathqa.graders import minerva


def told(gold, said, **config):
    output = f"Work.\nFinal Answer: The final answer is {said}. I hope it is correct."
    return minerva.verdict(gold, output, minerva.Config(**config))


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("10", "$10$ meters"),
        ("10", "a $10$"),
        ("10000", "$10,000$"),
        ("\\frac{1}{2}", "$\\frac12$"),
        ("\\sqrt{3}", "$\\sqrt3$"),
        ("5", "$x = 5$"),
        ("90", "$90^\\circ$"),
        ("odd", "\\text{odd}"),
        ("12", "\\boxed{12}"),
        ("12", "\\$12"),
        ("1,2", "$1,\\text{and}2$"),
    ],
)
def test_the_lists_make_the_same_text(gold, said):
    assert (told(gold, said).equal, told(gold, said).by) == (True, "text")


def test_what_the_text_misses_the_algebra_may_find():
    assert told("\\frac{1}{2}", "0.5").by == "algebra"
    assert told("\\frac{x+2}{7}", "\\frac{x}{7}+\\frac{2}{7}").by == "algebra"
    assert not told("-x+1", "-(x+1)").equal
    assert not told("odd", "even").equal
    assert not told("50", "0.5").equal


def test_another_closing_form_has_no_answer_unless_it_is_asked_for():
    plain = "The answer is 5"
    assert minerva.verdict("5", plain, minerva.Config()).by == "no_answer"
    assert minerva.verdict("5", plain, minerva.Config(phrase="answer is")).equal
    assert minerva.verdict("5", "the FINAL ANSWER IS 4.\nThe final answer is 5.", minerva.Config()).equal


def test_words_are_cut_inside_other_words_as_published():
    assert minerva.spelled("always") == "al"
