"""Question validity: rules over texts, answers that cannot be, votes that scatter, words; what is fair is left alone."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.rng import stream
from skyloom.mathqa import validity as rules
from skyloom.mathqa.annotate import validity
from skyloom.mathqa.decide import validity as drop
from skyloom.mathqa.validity import KINDS, SAID, classes, entropy, in_answers, in_text, in_votes, in_words, number_of
from skyloom.mathqa.verify.grading import grade
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import draw, grammar, solve
from skyloom.mathqa.world.problems import problems

SHAPE = {"question": pl.String, "response": pl.String, "answer": pl.String, "votes": pl.List(pl.String)}
BACK = {"backward.asked": pl.Int64, "backward.right": pl.Int64}


def told(question, votes=(), answer="7", response="The answer is 7", asked=None, right=None):
    row = (question, response, answer, list(votes), asked, right)
    frame = pl.DataFrame([row], schema=SHAPE | BACK, orient="row")
    (found,) = validity.annotate(frame, validity.Config()).to_dicts()
    return {key.removeprefix("validity."): value for key, value in found.items()}


def kind_of(question):
    return next((each.kind for each in in_text(question)), None)


def test_many_different_votes_take_no_square_of_their_number(monkeypatch):
    asked: list[str] = []

    def counted(gold, vote):
        asked.append(vote)
        return grade(gold, vote)

    monkeypatch.setattr(rules, "grade", counted)
    votes = [str(k) for k in range(400)]
    assert len(rules.classes([*votes, "0", "00", "1.0"])) == 400
    assert len(asked) <= 402 * rules.MOST
    assert number_of("1" * rules.LONGEST + "/7") is None, "no number is read from a part of it"


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("If $x^2 = 49$, what is the value of $x$?", "several_answers"),
        ("Solve x^2 - 9x + 20 = 0 for x.", "several_answers"),
        ("What is the root of x^2 - 9x + 20 = 0?", "several_answers"),
        ("If x + 4 = 9 and x + 11 = 17, what is x?", "contradiction"),
        ("If $x + y = 4$ and $2x + 2y = 9$, find $x$.", "contradiction"),
        ("If x + y = 4 and 2x + 2y = 9, what is x + y?", "contradiction"),
        ("If x + y = 12, what is xy?", "missing_condition"),
        ("If 3x + 4 = 19, what is the value of y?", "missing_condition"),
        ("Solve x + some = 7 for x.", "missing_condition"),
        ("A coat costs 40 dollars and is some percent off. How many dollars does it cost?", "missing_condition"),
        ("What integer x satisfies 4x = 17?", "unsolvable"),
        ("For which real number x is x^2 + 36 = 0?", "unsolvable"),
    ],
)
def test_rules_find_what_formulas_show(question, kind):
    assert kind_of(question) == kind
    assert told(question)["kind"] == kind
    assert told(question)["score"] >= 0.6


@pytest.mark.parametrize(
    "question",
    [
        "If $x^2 = 49$ and $x > 0$, what is $x$?",
        "If $x^2 = 49$, what is the larger value of $x$?",
        "What are all solutions of $x^2 = 49$?",
        "If $x^2 = 0$, what is $x$?",
        "If $x^2 - 6x + 9 = 0$, what is $x$?",
        "If $x^2 + 1 = 0$, what is $x$?",
        "If x + y = 4 and x - y = 2, what is xy?",
        "If $x + y = 4$ and $2x + 2y = 8$, what is $x + y$?",
        "If x + y = 4, what is 3x + 3y?",
        "If x + y = 4 and 2x + 2y = 9, how many solutions are there?",
        "What is the distance between the lines y = 2x + 1 and y = 2x + 5?",
        "Given that $-7$ is a solution to $x^2 + bx -28 = 0$, what is the value of $b$?",
        "If $3x + 4 = 19$ and $y$ is twice $x$, what is the value of $y$?",
        '[asy] label("$y$"); [/asy] If $3x + 4 = 19$, what is the value of $y$?',
        "What integer x satisfies 4x = 16?",
        "Tom has some apples and gets 5 more. Now he has 9. How many did he have?",
        "Positive integers satisfy x + y = 4. What is x?",
        "Let f(x) = 2x + 1. If y = 3, what is x?",
    ],
)
def test_rules_leave_fair_or_unclear_questions_alone(question):
    assert in_text(question) == []


def test_counts_cannot_be_negative_or_halves_but_measures_can():
    question = "How many pupils are in the class?"
    assert in_answers(question, "7/2", [])[0].kind == "unsolvable"
    assert in_answers(question, "-3", [])[0].score == 0.7
    assert in_answers(question, "3", []) == []
    assert in_answers(question, "7/2", ["7/2", "3", "4", "4"])[0].score == pytest.approx(0.9 / 4)
    assert in_answers("How many hours does it take?", "7/2", []) == []
    assert in_answers("How many hours does it take?", "-2", [])[0].kind == "unsolvable"
    assert in_answers("How many more hours does it take?", "-2", []) == []
    assert in_answers("How many degrees is it?", "-2", []) == []
    assert in_answers("What is x?", "7/2", []) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1,234", 1234),
        ("7/2", 3.5),
        (r"\frac{1}{4}", 0.25),
        ("$2.50", 2.5),
        ("x", None),
        ("1/0", None),
        ("", None),
    ],
)
def test_numbers_are_read(text, value):
    got = number_of(text)
    assert (got is None) if value is None else (got is not None and float(got) == value)


def test_equal_votes_are_one_class():
    assert classes(["1/2", "3", "0.5", r"\frac{1}{2}"]) == [("1/2", 3), ("3", 1)]
    assert classes([]) == []


def test_two_answers_that_share_the_votes_are_several_answers():
    (half,) = in_votes([4, 4])
    assert (half.kind, half.score) == ("several_answers", 1.0)
    (scattered,) = in_votes([1] * 8)
    assert (scattered.kind, scattered.score) == ("missing_condition", pytest.approx(7 / 8))
    assert in_votes([7, 1])[0].score < 0.2
    assert in_votes([8]) == in_votes([]) == []


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ("There is not enough information.\nThe answer is 5", "missing_condition"),
        ("2+3=5\nThe price cannot be determined.\nThe answer is 5", "missing_condition"),
        ("More than one value is possible.\nThe answer is 5", "several_answers"),
        ("The two conditions contradict each other.\nThe answer is 5", "contradiction"),
        ("This equation has no solution.\nThe answer is 5", "unsolvable"),
    ],
)
def test_the_solvers_words_name_the_fault(response, kind):
    (found,) = in_words("What is x?", response, "5", [])
    assert (found.kind, found.score) == (kind, SAID)
    assert told("What is x?", ["5", "5"], "5", response)["kind"] == kind


def test_words_that_may_be_the_answer_are_no_evidence():
    assert in_words("How many solutions does it have?", "It has no solutions.\nThe answer is 0", "0", []) == []
    assert in_words("Find x, or none.", "So\nThe answer is no solution", "no solution", []) == []
    assert in_words("What is x?", "Case 1 has no solution.\n1+1=2\n2+2=4\n4+4=8\nThe answer is 8", "8", []) != [], (
        "first sentence"
    )
    middle = "Take cases.\nCase 1 has no solution.\n1+1=2\n2+2=4\n4+4=8\nThe answer is 8"
    assert in_words("What is x?", middle, "8", []) == []


def test_votes_in_words_count_by_their_share():
    (found,) = in_words("What is x?", "1+1=2", "2", ["2", "cannot be determined", "undetermined", "3"])
    assert (found.kind, found.score) == ("missing_condition", 0.5)


def test_a_named_fault_goes_before_scattered_votes():
    found = told("What is x?", ["1", "2", "3", "4", "no solution", "5", "6", "8"], "1")
    assert found["kind"] == "unsolvable"
    assert found["score"] > 7 / 8
    assert found["evidence"].startswith("unsolvable: vote: no solution; missing_condition: votes 1 + 1")


def test_backward_success_speaks_for_the_question_and_failure_against_it():
    votes = ["7", "8", "9", "7"]
    plain = told("What is x?", votes)
    assert told("What is x?", votes, asked=2, right=2)["kind"] is None
    assert told("What is x?", votes, asked=2, right=0)["score"] > plain["score"] > 0
    assert told("What is x?", votes, asked=2, right=1) == plain
    assert told("What is x?", votes, answer="8", asked=2, right=0) == plain, "the answer is wrong: nothing else follows"
    assert told("What is x?", asked=1, right=0)["kind"] == "missing_condition"


def test_the_decider_drops_by_kind_and_score():
    rows = [(None, 0.0), ("contradiction", 0.9), ("contradiction", 0.5), ("unsolvable", 0.9), (None, None)]
    ledger = pl.DataFrame(rows, schema={"validity.kind": pl.String, "validity.score": pl.Float64}, orient="row")
    assert drop.decide(ledger, drop.Config()).to_list() == [None, "contradiction", None, "unsolvable", "unannotated"]
    some = drop.Config(drop=("contradiction",), least=0.4)
    assert drop.decide(ledger, some).to_list() == [None, "contradiction", "contradiction", None, "unannotated"]
    for least in (0, 1.1):
        with pytest.raises(ValueError, match="least"):
            drop.Config(least=least)


TEXT = st.text(max_size=200) | st.lists(
    st.sampled_from(
        [
            "x",
            "y^2",
            "=",
            "+",
            "-",
            "7",
            "some",
            "$",
            "what is",
            "x?",
            "no solution",
            "How many",
            "of",
            "\\frac{1}{2}",
            "\n",
        ]
    )
).map(" ".join)


@given(TEXT, TEXT, TEXT, st.lists(st.sampled_from(["1", "2", "1/2", "x", ""]) | TEXT, max_size=3))
@settings(max_examples=60)
def test_no_text_raises_and_scores_stay_in_range(question, response, answer, votes):
    found = told(question, votes, answer, response)
    assert 0 <= found["score"] <= 1
    assert (found["kind"] is None) == (found["score"] == 0) == (found["evidence"] is None)
    assert found["kind"] in (None, *KINDS)
    assert found["entropy"] is None if len(votes) < 2 else 0 <= found["entropy"] <= math.log2(len(votes)) + 1e-9


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_entropy_is_greatest_where_classes_are_alike(sizes):
    assert -1e-12 <= entropy(sizes) <= math.log2(len(sizes)) + 1e-9
    assert entropy([3] * len(sizes)) == pytest.approx(math.log2(len(sizes)))
    for each in in_votes(sorted(sizes, reverse=True)):
        assert 0 <= each.score <= 1


@given(st.integers(0, 100_000), st.integers(0, 8))
@settings(max_examples=60)
def test_a_fair_world_problem_with_agreeing_votes_is_never_called_invalid(seed, votes):
    for posed in problems("train", seed, 5):
        solved = solve(posed)
        answer = show(solved.answer)
        found = told(posed.text, [answer] * votes, answer, solved.text)
        assert found["kind"] is None, (posed.text, found)
        assert found["entropy"] in (None, 0.0)


def test_formulas_of_the_world_that_are_no_problems_are_found_without_votes():
    kinds = {
        "one_relation",
        "other_letter",
        "square_is",
        "two_roots",
        "two_equations",
        "two_sums",
        "no_factor",
        "negative_square",
    }
    for kind in grammar().illposed:
        if kind.name in kinds:
            found = [in_text(draw(kind, stream(k, kind.name)).text) for k in range(40)]
            right = [each for each in found if each]
            assert right, kind.name
            assert {each[0].kind for each in right} == {kind.invalid}


def test_huge_and_odd_texts_are_read_in_time():
    for text in (
        "x" * 1_000_000,
        "1 + " * 50_000 + "= 3",
        "\x00\u202e{" * 10_000,
        "how many " * 20_000,
        "some = " * 20_000,
    ):
        assert 0 <= told(text, ["1", text[:50]], text, text)["score"] <= 1
