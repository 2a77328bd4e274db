"""Irrelevant sentences: they hold numbers but never the answer, fewer stand inside more, and the question stays whole."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.mathqa import distractors
from skyloom.mathqa.benchmark import Item, numbers_in

QUESTION = "Ana has 3 nuts. She finds 4 more. How many has she?"


def item(number=0, question=QUESTION, answer="7"):
    return Item(id=f"t/{number}", question=question, answer=answer, level=None, subject="s")


def test_every_sentence_is_one_and_has_a_number():
    told = distractors.sentences()
    assert len(set(told)) == len(told) >= 60
    assert all(numbers_in(text) and re.fullmatch(r"[A-Z][^.!?]*\.", text) for text in told)


@given(st.integers(0, 500), st.integers(0, 5))
def test_more_contain_fewer_and_none_holds_the_answer(number, seed):
    one = item(number, answer=str(number % 60))
    chosen = [distractors.chosen(one, count, seed) for count in range(6)]
    assert all(more[: len(fewer)] == fewer for fewer, more in pairwise(chosen))
    assert [len(each) for each in chosen] == list(range(6))
    assert number % 60 not in [value for text in chosen[5] for value in numbers_in(text)]
    assert distractors.chosen(one, 5, seed) == chosen[5]


def test_items_and_seeds_have_their_own():
    assert distractors.chosen(item(1), 5, 0) != distractors.chosen(item(2), 5, 0)
    assert distractors.chosen(item(1), 5, 0) != distractors.chosen(item(1), 5, 1)


@pytest.mark.parametrize(
    ("question", "last"),
    [
        (QUESTION, "How many has she?"),
        ("How many has she?", "How many has she?"),
        ("It costs 3.50 a piece. Find $x. Y$ if it rains.", "Find $x. Y$ if it rains."),
        ("Let $f(x) = 2. A$ hold. $x$ is what?", "$x$ is what?"),
        ("Mrs. Hill has 3. Mr. Hill has 2.\nWho has more?", "Who has more?"),
        ('He said "Go. " Then? Tell [asy]draw(A. B);[/asy] it.', "Tell [asy]draw(A. B);[/asy] it."),
    ],
)
def test_they_stand_before_the_last_sentence(question, last):
    one = item(question=question)
    told = distractors.distracted(one, 2, 0)
    between = " ".join(distractors.chosen(one, 2, 0)) + " "
    assert told == question.removesuffix(last) + between + last
    assert distractors.distracted(one, 1, 0) != told


def test_the_report_pairs_items():
    plain = [True] * 30 + [False] * 10
    shown, table, plot = distractors.report("t", plain, {5: [True] * 10 + [False] * 30, 1: plain}, 0)
    assert [row[0] for row in table.rows] == [0, 1, 5]
    assert table.rows[1][2].value == 0
    assert table.rows[2][2].value == pytest.approx(-0.5)
    assert table.rows[2][3] < 0.001
    assert plot.series[0].x == (0.0, 1.0, 5.0)
    assert [each.value for each in shown] == [0.75, 0.25]
