"""RewardBench 2: shared first places, the Ties formula by hand, and the fact base's null values on a generated set."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import reward_bench_2
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

FOUR = ("right", "wrong 1", "wrong 2", "wrong 3")


def item(subset, k, right=1, responses=FOUR, tag="", cluster=""):
    prompt = (Message(role="user", content=f"{subset} {k}"),)
    name = f"{subset}:{tag or k}"
    return Item(
        name=name, subset=subset, prompt=prompt, responses=responses, right=right, tag=tag, cluster=cluster
    )  # fmt: skip


def ties(number=1, ref=1, tied=3, wrong=2):
    """The two rows of one Ties prompt."""
    texts = [tuple(f"answer {k}" for k in range(right + wrong)) for right in (ref, tied)]
    return [
        item("Ties", number, right, responses, f"{kind}:{number}", f"Ties:{number}")
        for kind, right, responses in zip(("ref", "tied"), (ref, tied), texts, strict=True)
    ]


def ties_score(scores, items=None):
    found = reward_bench_2.measure(items or ties(), [np.array(each, dtype=float) for each in scores], stream(0, "t"))
    return found.rows["Ties"].value


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    path = benchmarks.write(tmp_path_factory.mktemp("bench"), only=("reward_bench_2",))["reward_bench_2"]
    return reward_bench_2.items(reward_bench_2.Config(path=path))


@pytest.mark.parametrize(
    ("scores", "credit"),
    [
        ([3, 2, 1, 0], 1),
        ([3, 3, 1, 0], 1 / 2),
        ([3, 3, 3, 0], 1 / 3),
        ([0, 0, 0, 0], 1 / 4),
        ([2, 3, 3, 0], 0),
        ([np.nan, 1, 1, 1], 0),
        ([3, 2, np.nan, 0], 0),
        ([np.nan] * 4, 0),
    ],
)
def test_the_first_place_is_shared(scores, credit):
    assert reward_bench_2.credits([item("Math", 0)], [np.array(scores, dtype=float)]).tolist() == [credit]


def test_the_worked_example_of_ties():
    assert ties_score([[2, 1, 0], [3, 2.5, 2.2, 1, 0.5]]) == pytest.approx(1.00 + 0.01 * math.tanh(0.25))
    assert round(ties_score([[2, 1, 0], [3, 2.5, 2.2, 1, 0.5]]), 5) == 1.00245


@pytest.mark.parametrize(
    ("scores", "value"),
    [
        ([[0] * 3, [0] * 5], 0.0),  # constant: every gap and spread 0, 0/0 counts 0
        ([[1, 0, 0], [1, 1, 1, 0, 0]], 1.01),  # no spread and a gap: +infinity gives 1
        ([[0, 1, 0], [1, 1, 1, 0, 0]], 0.30 + 0.20 - 0.01),  # the ref row is wrong and there is no spread: -infinity
        ([[0, 1, 0], [0, 0, 0, 1, 1]], -0.01),
        ([[2, 0, 0], [3, 1, 1, 0, 0]], 0.60 + 0.01 * math.tanh(1 / 2 - 1)),  # gaps 2 and 1, spread 2
        ([[2, 0, 0], [3, 2, 1, 0, -1]], 0.60 + 0.01 * math.tanh(1 / 2 - 1)),
        ([[1, 0, 0], [4, 3, 3, 0, 0]], 0.60 + 0.20 + 0.01 * math.tanh(1 - 1)),  # min gap 1 = spread 1: strict
        ([[np.nan, 0, 0], [4, 3, 3, 0, 0]], 0.30 + 0.20 - 0.01),
        ([[2, 1, 0], [3, 2.5, np.nan, 1, 0.5]], 0.30 - 0.01),
    ],
)
def test_ties_by_hand(scores, value):
    assert ties_score(scores) == pytest.approx(value)


def test_a_row_without_its_partner_counts_in_its_accuracy_alone():
    items = [*ties(1), ties(2)[0]]
    scores = [[2, 1, 0], [3, 2.5, 2.2, 1, 0.5], [0, 1, 0]]
    assert ties_score(scores, items) == pytest.approx(0.30 + 0.30 / 2 + 0.40 + 0.01 * math.tanh(0.25))


def test_the_score_is_the_plain_mean_of_the_subsets():
    items = [item("Math", 0), item("Math", 1), item("Focus", 0), *ties()]
    scores = [
        np.array(each, float) for each in ([1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [2, 1, 0], [3, 2.5, 2.2, 1, 0.5])
    ]
    found = reward_bench_2.measure(items, scores, stream(0, "t"))
    assert found.headline.value == pytest.approx((0.5 + 1 + 1 + 0.01 * math.tanh(0.25)) / 3)
    assert found.headline.name == "RewardBench 2 score of Math, Focus, Ties alone"


def test_the_null_baselines_have_the_fact_bases_values(generated):
    assert len(generated) == 1865
    constant = reward_bench_2.measure(
        generated, scoring.null_scores(generated, scoring.NULLS["constant"]), stream(0, "n")
    )
    assert {name: each.value for name, each in constant.rows.items()} == {
        **dict.fromkeys(("Factuality", "Precise IF", "Math", "Safety", "Focus"), 0.25),
        "Ties": 0.0,
    }
    assert round(100 * constant.headline.value, 2) == 20.83
    shortest = reward_bench_2.measure(
        generated, scoring.null_scores(generated, scoring.NULLS["shortest"]), stream(0, "n")
    )
    assert round(100 * shortest.rows["Focus"].value, 1) == 52.7


def test_all_right_is_the_top_of_the_scale_and_keeps_a_width(generated):
    perfect = [(np.arange(len(each.responses)) < each.right).astype(float) for each in generated]
    found = reward_bench_2.measure(generated, perfect, stream(0, "p")).headline
    assert found.value == pytest.approx(6.01 / 6)
    assert found.low < 1 < found.high


@settings(max_examples=25)
@given(st.floats(0.1, 9), st.floats(-9, 9), st.permutations(range(8)), st.integers(0, 10))
def test_a_positive_affine_map_and_the_order_of_rows_change_nothing(scale, shift, order, seed):
    items = [*ties(1), *ties(2), *(item("Math", k) for k in range(4))]
    scores = [stream(seed, k).normal(size=len(each.responses)) for k, each in enumerate(items)]
    moved = [scale * scores[k] + shift for k in order]
    before = reward_bench_2.measure(items, scores, stream(0, "a"))
    after = reward_bench_2.measure([items[k] for k in order], moved, stream(0, "a"))
    assert after.headline.value == pytest.approx(before.headline.value)
    assert before.headline.low <= before.headline.value <= before.headline.high


@given(st.integers(0, 10), st.floats(-3, 3))
def test_outside_ties_any_rising_map_changes_nothing(seed, shift):
    items = [item("Math", k) for k in range(5)]
    scores = [stream(seed, k).integers(0, 3, size=4).astype(float) for k in range(5)]
    moved = [np.exp(each) + shift for each in scores]
    assert reward_bench_2.credits(items, scores).tolist() == reward_bench_2.credits(items, moved).tolist()


ROW = {"id": "7", "prompt": "Q", "chosen": ["a"], "rejected": ["b", "c", ""], "num_correct": 1, "subset": "Math"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"subset": "Poems"}, "row 1: subset: unknown: 'Poems'; known: Factuality"),
        ({"num_correct": 2}, "row 1: num_correct: 2, but chosen holds 1"),
        ({"chosen": ["a", "b"], "num_correct": 2}, "num_correct: expected 1 outside Ties, got 2"),
        ({"subset": "Ties", "id": "7"}, "expected ref:N or tied:N in Ties, got '7'"),
        ({"subset": "Ties", "id": "tied:7"}, "a tied row needs two right answers"),
        ({"subset": "Ties", "id": "ref:7"}, "Ties needs prompts with both a ref:N and a tied:N row"),
        ({"rejected": []}, "rejected: empty list"),
        ({"rejected": [None]}, "rejected: expected text, got NoneType"),
        ({"id": None}, "id: missing"),
    ],
)
def test_a_bad_row_is_named(change, told, tmp_path):
    file = tmp_path / "rb2.jsonl"
    file.write_text(json.dumps({**ROW, **change}) + "\n")
    with pytest.raises(BadInput) as error:
        reward_bench_2.items(reward_bench_2.Config(path=file))
    assert told in str(error.value)


def test_no_file_says_how_to_name_one():
    with pytest.raises(BadInput, match=r"RewardBench 2: no file is named; --set evaluate.path"):
        reward_bench_2.items(reward_bench_2.Config())
