"""The two backward augmenters: their examples, the gold of each sample, and every reason for which a job ends early."""

import pytest

from augmenting import play, recited
from skyloom.mathqa.augment import fobar, self_verification
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import Problem

SOLVED = "4+3=7\nThe answer is 7\n[end]"


def seed(question, answer="4", solution=""):
    return Problem(question=question, answer=answer, solution=solution, level=None, subject="")


@pytest.mark.parametrize("module", [fobar, self_verification])
def test_the_example_holds(module):
    example = module.EXAMPLE
    played = play(module, example.problem, example.config, recited(example.replies))
    assert (tuple(played.drafts), played.refused) == (example.drafts, [])
    for call, reply, expected, slots in example.recorded:
        if isinstance(expected, str):
            with pytest.raises(Refused, match=f"^{expected}$"):
                call.parse(reply, slots)
        else:
            assert call.parse(reply, slots) == expected


def test_the_teacher_is_told_the_answer_and_not_the_number():
    asked = play(fobar, seed("Add 15 and 20."), fobar.Config(), recited([SOLVED])).asked[0]
    text = asked.messages[-1].content
    assert ("15" in text) != ("20" in text)
    assert "the answer 4." in text


def test_latex_answers_stand_between_dollar_signs():
    played = play(fobar, seed("Halve 15.", r"\frac{30}{4}."), fobar.Config(), recited([SOLVED]))
    assert r"the answer $\frac{30}{4}$. What" in played.drafts[0].question


@pytest.mark.parametrize("module", [fobar, self_verification])
def test_each_sample_has_its_own_number_until_there_is_none(module):
    problem = seed("Tom has 15 nuts and finds 20. How many nuts does he have?", "35", "15+20=35\nThe answer is 35")
    replies = ["Statement: He has 35 nuts.\n[end]", SOLVED] if module is self_verification else [SOLVED]
    golds = {play(module, problem, module.Config(), recited(replies), sample).drafts[0].gold for sample in (0, 1)}
    assert golds == {"15", "20"}
    assert play(module, problem, module.Config(), recited([]), 2).refused == [("start", "no_number")]
    idle = seed(problem.question, "35", "He adds them.\nThe answer is 35")
    assert play(module, idle, module.Config(), recited([])).refused == [("start", "not_used")]
    assert play(module, idle, module.Config(used=False), recited(replies)).drafts


@pytest.mark.parametrize(
    ("question", "replies", "refused"),
    [
        ("Tom has 15 nuts.", [], ("start", "no_question")),
        ("Who has 15 nuts? What is the sum?", [], ("start", "several_questions")),
        ("Tom had 15 nuts. How many are left?", ["Statement: Of 15 nuts 4 are left.\n[end]"], ("statement", "leak")),
        ("Tom had 15 nuts. How many are left?", ["Statement: Of fifteen 4 are left.\n[end]"], ("statement", "leak")),
        ("Are nuts cheap. How many of 15 nuts are left?", ["Statement: There are 4 left.\n[end]"], ("statement", "unknown_lost")),
        ("How many nuts are left? Round your answer to 15 digits.", ["Statement: There are 4 left.\n[end]"], ("statement", "unknown_lost")),
    ],
)  # fmt: skip
def test_a_self_verification_that_cannot_be_asked_is_refused(question, replies, refused):
    played = play(self_verification, seed(question), self_verification.Config(), recited(replies))
    assert (played.drafts, played.refused) == ([], [refused])


def test_a_statement_goes_on_with_the_condition_before_it():
    replies = ["Statement: The value of x is 4.\n[end]", SOLVED]
    draft = play(
        self_verification, seed("If x + 15 = 19, what is x?"), self_verification.Config(), recited(replies)
    ).drafts[0]
    assert draft.question in {
        f"If x + {a} = {b}, the value of x is 4.\nHere Y is an unknown number. What is the value of Y?"
        for a, b in (("Y", "19"), ("15", "Y"))
    }


def test_numbers_above_the_line_are_a_setting():
    problem = seed("Find $x^{12}$.")
    assert play(fobar, problem, fobar.Config(), recited([])).refused == [("start", "no_number")]
    assert play(fobar, problem, fobar.Config(exponents=True), recited([SOLVED])).drafts[0].gold == "12"
