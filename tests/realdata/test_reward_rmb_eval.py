"""RMB's rule on the public files: all of them are read, and scorers that understand nothing get what the texts hold."""

from collections import Counter

import numpy as np
import pytest

from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import rmb


@pytest.fixture(scope="module")
def items(real_data):
    return rmb.items(rmb.Config(path=real_data / "pref" / "rmb"))


def test_every_row_is_an_item(items):
    counts = Counter(item.subset for item in items)
    assert counts["helpful pairwise"] + counts["harmless pairwise"] == 14_543
    assert counts["helpful best-of-n"] + counts["harmless best-of-n"] == 3_786
    assert len({item.tag for item in items}) == 49
    assert sum(len(item.prompt) > 1 for item in items if item.subset.endswith(rmb.PAIRS)) == 2_036
    assert Counter(len(item.responses) for item in items if item.subset.endswith(rmb.LISTS)) == {
        3: 2_878,
        4: 712,
        5: 165,
        6: 24,
        7: 7,
    }
    assert sum(item.responses[0] == item.responses[1] for item in items if item.subset.endswith(rmb.PAIRS)) == 11


def test_the_constant_scorer_wins_nothing_and_the_longest_six_of_ten_pairs(items):
    constant = rmb.measure(items, scoring.null_scores(items, scoring.NULLS["constant"]), stream(0, "t"))
    assert constant.headline.value == 0
    longest = scoring.null_scores(items, scoring.NULLS["longest"])
    credit = rmb.credits(items, longest)
    pairs = np.asarray([item.subset.endswith(rmb.PAIRS) for item in items])
    assert 0.58 < credit[pairs].mean() < 0.62
    found = rmb.measure(items, longest, stream(0, "t"))
    assert found.headline.value == pytest.approx(np.mean([found.rows[part].value for part in rmb.PARTS]))
    assert found.headline.high - found.headline.low < 0.05
