"""The grammar: what it draws it can read back and solve; splits share no content; answers are right."""

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.mathqa.world.expressions import Unsolvable
from skyloom.mathqa.world.grammar import answer, draw, grammar, read, reword, solve
from skyloom.mathqa.world.problems import judge, part_of, problems

KINDS = list(grammar().kinds.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_wording_is_read_back_as_what_it_says(kind):
    rng = stream(0, "test", kind.name)
    for _ in range(20):
        posed = draw(kind, rng)
        for form in range(len(kind.forms)):
            text = reword(posed, form, 3).text
            again = read(text)
            assert again is not None, text
            assert again.content == posed.content, text
            assert solve(again) == solve(posed)
            assert not re.search(r"[{}]", text)


def test_there_are_five_levels_with_several_kinds_and_wordings_each():
    levels = Counter(kind.level for kind in KINDS)
    assert set(levels) == {1, 2, 3, 4, 5}
    assert min(levels.values()) >= 5
    assert min(len(kind.forms) for kind in KINDS) >= 2


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Solve 7x + 5 = 40 for x.", "5"),
        ("Zoltan has 8 marbles and gets 5 more. How many marbles does Zoltan have now?", "13"),
        ("Add 1/4 and 1/6. Give the sum as a fraction in lowest terms.", "5/12"),
        ("What is the larger root of x^2 - 9x + 20 = 0?", "5"),
        (
            "An arithmetic sequence starts at 1 with common difference 1. What is the sum of its first 100 terms?",
            "5050",
        ),
        (
            "Two trains 300 km apart drive towards each other at 40 km/h and 60 km/h. After how many hours do they meet?",
            "3",
        ),
        ("  What is   the remainder when 9 times 9 is divided by 7?\n", "4"),
    ],
)
def test_texts_that_nobody_issued_are_solved(text, answer):
    assert judge(text, "").answer == answer


@pytest.mark.parametrize(
    "text", ["", "What is love?", "Solve 7x + 5 = 41 for x.", "Solve 0x + 5 = 40 for x.", "x" * 10_000]
)
def test_other_texts_and_problems_without_a_solution_have_no_answer(text):
    assert judge(text, "").answer == ""


def test_solutions_hold_step_by_step():
    for posed in problems("train", 7, 200):
        for line in solve(posed).lines:
            left, right = line.split("=")
            value = re.sub(r"(?:lcm|root)\(.*?\)", "", left)
            if value == left and "/" not in right:
                assert eval(re.sub(r"(\d+)", r"Fraction(\1)", left), {"Fraction": Fraction}) == Fraction(right), line


def test_parts_share_no_content_and_draws_repeat():
    train = list(problems("train", 0, 2_000))
    held = list(problems("eval", 1, 400))
    assert {posed.content for posed in train}.isdisjoint(posed.content for posed in held)
    assert all(part_of(posed) == "eval" for posed in held)
    assert [posed.text for posed in problems("eval", 1, 400)] == [posed.text for posed in held]
    assert [posed.text for posed in problems("eval", 1, 100)] == [posed.text for posed in held[:100]]
    assert [posed.text for posed in problems("eval", 2, 400)] != [posed.text for posed in held]


def test_levels_come_as_asked_and_bad_shares_are_refused():
    assert {posed.kind.level for posed in problems("train", 0, 50, (0, 0, 1, 0, 0))} == {3}
    for shares in ((1, 1), (0, 0, 0, 0, 0), (1, 1, 1, 1, -1)):
        with pytest.raises(BadInput, match="shares"):
            next(problems("train", 0, 1, shares))


def test_a_slip_changes_the_answer_and_judge_sees_it():
    posed = read("Solve 7x + 5 = 40 for x.")
    assert posed is not None
    slipped = solve(posed, lambda step, value: value + 7 if step == 0 else value)
    assert slipped.text == "40-5=42\n42/7=6\nThe answer is 6"
    assert not judge(posed.text, "6").right
    assert judge(posed.text, "5") == ("5", True, 2, True, "")


def test_a_chain_of_steps_is_solved_from_its_text():
    text = (
        "In the dairy of Ida in Lima the following has to be settled today. Solve 7x + 5 = 40 for x, if in the end the result is "
        "doubled, then Kofi adds 8 to the result, then a third of the result is given away."
    )
    posed = read(text)
    assert posed is not None
    assert posed.text == text
    assert solve(posed).text == "40-5=35\n35/7=5\n2*5=10\n10+8=18\n18/3=6\n18-6=12\nThe answer is 12"
    assert answer(posed) == 12
    assert posed.content == "linear:a=7,b=5,c=40>double:>plus:k=8>give_third:"
    assert judge(text.replace("adds 8", "adds 9"), "") == ("", False, 0, True, "unsolvable"), "no third of 19 is whole"


@pytest.mark.parametrize(
    "text",
    [
        "Solve 7x + 5 = 40 for x, if in the end it rains.",
        "Solve 7x + 5 = 40 for x, if in the end .",
        "Solve 7x + 5 = 40 for x, then the result is doubled.",
        ", if in the end the result is doubled?",
        "In the dairy of Ida in Lima the following has to be settled today.",
    ],
)
def test_a_broken_chain_is_not_read(text):
    assert read(text) is None


@pytest.mark.parametrize("kind", grammar().further, ids=lambda kind: kind.name)
def test_every_further_step_is_drawn_and_read_back_in_each_wording(kind):
    rng = stream(0, "test", kind.name)
    for base in problems("train", 5, 20):
        try:
            longer = draw(kind, rng, onto=base)
        except Unsolvable:
            continue
        for form in range(len(kind.forms)):
            told = replace(longer, then=(reword(longer.then[0], form, 3),))
            again = read(told.text)
            assert again is not None, told.text
            assert again.content == longer.content
            assert solve(again) == solve(longer)
            assert len(solve(again).lines) == len(solve(base).lines) + len(kind.steps)
            assert not re.search(r"[{}]", told.text)


def test_a_kind_without_a_possible_draw_says_so():
    kind = KINDS[0]
    impossible = type(kind)(
        **{**{f: getattr(kind, f) for f in kind.__dataclass_fields__}, "keep": (type(kind.steps[0].formula)("s < a"),)}
    )
    with pytest.raises(Unsolvable, match="no draw"):
        draw(impossible, stream(0, "x"))
