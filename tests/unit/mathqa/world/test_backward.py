"""Backward questions: read in any clause's words, solved by search, honest where no value or several fit."""

from dataclasses import replace

import pytest

from skyloom.core.rng import stream
from skyloom.mathqa.world.backward import Backward, part, read_backward, state
from skyloom.mathqa.world.expressions import Unsolvable, show
from skyloom.mathqa.world.grammar import UNKNOWN, Open, answer, draw, grammar, reword
from skyloom.mathqa.world.problems import judge

KINDS = list(grammar().kinds.values())
STATED = 'The answer to "How many apples does Tom have now" is 8.'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Solve x + Y = 7 for x. The answer is 4. What is Y?", "3"),
        ("Solve Y x + 5 = 40 for x. Suppose that 5 answers it; find Y.", "7"),
        ("Solve Yx + 5 = 40 for x.\nIt is known that the answer is 5. Which number is Y?", "7"),
        ("Tom has X apples and gets X more. How many apples does Tom have now? If the answer is 8, what is X?", "4"),
        ("Add X and 1/6. Give the sum as a fraction in lowest terms. The answer is 5/12. What is X?", "1/4"),
        ("Add X and X. Give the sum as a fraction in lowest terms. The answer is 1. What is X?", "1/2"),
        ("X numbers have the sum 10 and the product 24. What is the larger of them? The answer is 6. What is X?", "2"),
        ("A league of K clubs. In a league of K clubs every pair meets 2 times.", ""),
        (
            "In a league of K clubs every pair meets 2 times. How many matches does the league have? It is 20. And K?",
            "5",
        ),
        (f"Tom has X apples and gets 5 more. {STATED} What is X?", "3"),
        ('If Y x + 4 = 19, the answer to "what is the value of x" is 5. What is the value of Y?', "3"),
        ('The answer to "Which number plus X gives 7" is 4. What is X?', "3"),
        ("Solve x + 3 = 7 for x, if in the end Ida multiplies the result by Y. The answer is 20. What is Y?", "5"),
    ],
)
def test_known_backward_questions(text, value):
    assert judge(text, value).answer == value
    assert judge(text, value).right == bool(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What is the remainder when X times 9 is divided by 7? The answer is 4. What is X?", "several values fit X"),
        ("Solve x + Y = 7 for x. The answer is 9. What is Y?", "no value fits Y"),
        (
            "Tom has X apples and loses 9 of them. How many apples are left? The answer is 1999. What is X?",
            "no value fits X",
        ),
    ],
)
def test_several_or_no_values_are_admitted(text, why):
    found = read_backward(text)
    assert found is not None
    with pytest.raises(Unsolvable, match=why):
        _ = found.value
    assert judge(text, "1") == ("", False, 0, True, "several_answers" if "several" in why else "contradiction")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Solve x + 3 = 7 for x. The answer is 4. What is Y?",
        "Solve x + Y = 7 for x.",
        "Solve x + Y = 7 for x. The answer is 4.",
        "Solve x + Y = 7 for x. The answer is 4 or 5. What is Y?",
        "Solve x + Y = Z for x. The answer is 4. What is Y?",
        "Solve x + Y = 7 for x. The answer is Z. What is Y? Say that Y is 3. What is Z?",
        f"Tom has X pears and gets 5 more. {STATED} What is X?",
        f"{STATED} What is X?",
    ],
)
def test_other_texts_are_no_backward_questions(text):
    assert read_backward(text) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("stated", [False, True])
def test_every_number_of_every_wording_may_be_unknown(kind, stated):
    rng = stream(0, "test", kind.name)
    posed = draw(kind, rng)
    for form in range(len(kind.forms)):
        told = reword(posed, form, 3)
        for name, value in told.numbers.items():
            hidden = replace(told, numbers={**told.numbers, name: UNKNOWN})
            before, after = ("", " What is K?") if stated else ("It has the answer ", ". What is K?")
            asked = Backward(Open(hidden, "K", None), answer(told), stated, before, after)
            found = read_backward(asked.text)
            assert found is not None, asked.text
            assert found.text == asked.text
            assert value in found.fits or len(found.fits) > 1
            if len(found.fits) == 1:
                assert found.solution.lines[0] == f"K={value}"
                assert found.solution.answer == value
                assert answer(found.filled(value)) == found.told


def test_a_question_is_parted_and_stated_so_that_it_can_be_restored():
    assert part("Tom has 3 apples. How many are left?") == ("Tom has 3 apples.", "How many are left?")
    assert part("If 3x + 4 = 19, what is the value of x?") == ("If 3x + 4 = 19.", "what is the value of x?")
    assert part("What is 3 plus 4 minus 5?") == ("", "What is 3 plus 4 minus 5?")
    assert state("How many are left?", show(3)) == 'The answer to "How many are left" is 3.'
