"""Majority votes: classes by THE grader, ties to the first draw, and the mean over subsets against all of them by hand."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.metrics import Estimate
from skyloom.core.stats import wilson
from skyloom.mathqa import votes
from skyloom.mathqa.verify.grading import Verdict

DRAWS = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=6)


def verdict(answer, gold="1"):
    return Verdict(equal=answer == gold, by="number", answer=answer)


def winner(answers):
    """The most frequent answer, the first of those that tie."""
    counts = Counter(answer for answer in answers if answer is not None)
    most = max(counts.values(), default=0)
    return next((answer for answer in answers if answer is not None and counts[answer] == most), None)


def test_answers_are_put_together_by_value_and_not_by_text():
    assert votes.classes_of(["1/2", "0.5", None, "\\frac{1}{2}", "3", "50\\%"]) == [0, 0, -1, 0, 1, 0]
    assert votes.classes_of([]) == []


@given(DRAWS)
def test_a_vote_is_the_mean_over_all_subsets(answers):
    class_K = np.array(votes.classes_of(answers))
    right_K = np.array([answer == "1" for answer in answers])
    for size in range(1, len(answers) + 1):
        by_hand = [winner([answers[k] for k in some]) == "1" for some in combinations(range(len(answers)), size)]
        got = votes.majority(class_K, right_K, votes.subsets(len(answers), size, 0))
        assert got == pytest.approx(np.mean(by_hand))


def test_a_tie_goes_to_the_answer_drawn_first():
    for answers, right in ((["1", "2"], 1.0), (["2", "1"], 0.0), ([None, "1"], 1.0), ([None, None], 0.0)):
        class_K, right_K = np.array(votes.classes_of(answers)), np.array([answer == "1" for answer in answers])
        assert votes.majority(class_K, right_K, votes.subsets(2, 2, 0)) == right


def test_many_subsets_are_drawn_without_bias_and_the_same_for_a_seed():
    some = votes.subsets(40, 8, 3)
    assert some.shape == (votes.SUBSETS, 8)
    assert (np.diff(some, axis=1) > 0).all(), "in the order of the draws, none twice"
    assert (votes.subsets(40, 8, 3) == some).all()
    assert (votes.subsets(40, 8, 4) != some).any()
    class_K = np.array(votes.classes_of(["1"] * 30 + ["2"] * 10))
    assert votes.majority(class_K, class_K == 0, votes.subsets(40, 1, 0)) == 0.75
    assert np.bincount(some.ravel(), minlength=40) == pytest.approx(np.full(40, 200), abs=60)


def test_the_curve_begins_at_the_mean_and_ends_at_the_vote_of_all():
    told = [[verdict(a) for a in answers] for answers in (["1", "1", "2"], ["2", "1", None], ["3", "3", "1"])]
    greedy = Estimate.of("t accuracy", wilson(1, 3))
    shown, table, plot = votes.report("t", greedy, told, 0.7, 0)
    rows = {row[0]: row[1] for row in table.rows}
    assert list(rows) == ["greedy", "mean@3", "maj@1", "maj@2", "maj@3"]
    assert rows["mean@3"].value == rows["maj@1"].value == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert rows["maj@3"].value == pytest.approx(1 / 3)
    assert rows["maj@3"].low < 1 / 3 < rows["maj@3"].high
    assert [each.name for each in shown] == ["t maj@3", "t mean@3"]
    assert plot.series[0].x == (1.0, 2.0, 3.0)
    assert votes.sizes(8) == [1, 2, 4, 8]
    assert votes.sizes(2) == [1, 2]


def test_a_vote_that_is_always_wrong_keeps_an_interval():
    shown, _, _ = votes.report("t", Estimate.of("t", wilson(0, 5)), [[verdict("2")] * 2] * 5, 1.0, 0)
    assert shown[0].value == 0
    assert shown[0].high > 0.3
