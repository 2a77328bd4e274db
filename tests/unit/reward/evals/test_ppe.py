"""PPE by hand: pairs of a best-of-K row, votes, what is left out, and the curves."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import ppe
from skyloom.reward.world import benchmarks

VOTE = {
    "question_id": "v1",
    "model_a": "x",
    "model_b": "y",
    "winner": "model_b",
    "prompt": "Q",
    "response_1": "first",
    "response_2": "second",
}
SCORES = [False, True, False, True]


def best(gold=SCORES, pairs=((0, 1), (3, 2)), question="q1", **more):
    texts = {f"response_{k + 1}": f"text {k}" for k in range(len(gold))}
    head = {"question_id": question, "model_name": "m", "prompt": f"P {question}", **texts}
    return {**head, "scores": list(gold), "sampled_conflict_pairs": [list(pair) for pair in pairs], **more}


def written(tmp_path, **files):
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ppe.Config(path=tmp_path)


def by_text(items, rewards):
    """Scores of the items by their responses' texts."""
    return [np.asarray([rewards[text] for text in item.responses], dtype=np.float64) for item in items]


def values(found):
    return {each.name: each.value for each in (found.headline, *found.others)}


def test_the_higher_score_must_get_the_higher_reward(tmp_path):
    (item,) = ppe.items(written(tmp_path, math_best_of_k=[best()]))
    assert item.responses == ("text 1", "text 3", "text 0", "text 2")
    assert (item.right, item.subset, item.name) == (2, "MATH", "MATH:m:q1")
    assert [(item.responses[a], item.responses[b]) for a, b in item.pairs] == [
        ("text 1", "text 0"),
        ("text 3", "text 2"),
    ]
    rewards = {"text 0": 0, "text 1": 1, "text 2": 5, "text 3": 5}  # the second pair ties, so it is wrong
    assert ppe.credits([item], by_text([item], rewards)).tolist() == [0.5]


def test_repeated_pairs_count_once_and_a_pair_of_equal_scores_not_at_all(tmp_path):
    rows = [best(pairs=[(0, 1), (1, 0), (0, 1), (1, 3), (2, 3)]), best(pairs=[(1, 3)], question="q2")]
    config = written(tmp_path, gpqa_best_of_k=rows)
    (item,) = ppe.items(config)
    assert len(item.pairs) == 2
    assert ppe.left_out(config) == {ppe.REPEATED: 2, ppe.EQUAL: 1, ppe.UNDECIDED: 1}


def test_scores_may_be_numbers(tmp_path):
    (item,) = ppe.items(written(tmp_path, ifeval_best_of_k=[best(gold=[0.25, 1, 0.5, 0.5], pairs=[(0, 2), (1, 3)])]))
    assert item.responses == ("text 1", "text 2", "text 3", "text 0")
    assert (item.right, item.pairs) == (1, ((1, 3), (0, 2)))


def test_a_vote_puts_the_winner_first_and_a_tie_is_left_out(tmp_path):
    others = [{**VOTE, "question_id": name, "winner": each} for name, each in (("a", "model_a"), ("t", "tie"))]
    others.append({**VOTE, "question_id": "u", "winner": "tie (bothbad)"})
    config = written(tmp_path, human=[VOTE, *others])
    second, first = ppe.items(config)
    assert (second.responses, first.responses) == (("second", "first"), ("first", "second"))
    assert ppe.left_out(config) == {ppe.TIE: 2}
    found = ppe.measure([second, first], by_text([second, first], {"first": 2, "second": 1}), stream(0, "t"))
    assert (found.headline.name, found.headline.value) == ("human accuracy", 0.5)


def test_accuracy_pools_the_pairs_of_a_set_and_averages_the_sets(tmp_path):
    one, many = best(pairs=[(0, 1)], question="q1"), best(pairs=[(0, 1), (2, 3), (0, 3)], question="q2")
    config = written(tmp_path, math_best_of_k=[one, many], gpqa_best_of_k=[best(pairs=[(2, 1)])], human=[VOTE])
    items = ppe.items(config)
    rewards = {"text 0": 0, "text 1": 1, "text 2": 3, "text 3": 2, "first": 0, "second": 1}
    found = ppe.measure(items, by_text(items, rewards), stream(0, "t"))
    assert found.headline.name == "PPE correctness accuracy, mean of MATH, GPQA alone"
    assert found.rows["MATH"].value == pytest.approx(3 / 4)  # 1 of 1 and 2 of 3
    assert found.headline.value == pytest.approx((3 / 4 + 0) / 2)
    assert values(found)["human accuracy"] == 1


def test_curves_of_a_hand_made_row(tmp_path):
    items = ppe.items(written(tmp_path, math_best_of_k=[best(), best(question="q2")]))
    # The top reward is wrong, the next two are right: of n = 1, 2, 3, 4 drawn the top is right with 1/2, 1/2, 1/4, 0.
    rewards = {"text 0": 4, "text 1": 3, "text 3": 2, "text 2": 1}
    drawn = [
        [max(some, key=lambda k: rewards[f"text {k}"]) for some in itertools.combinations(range(4), n)]
        for n in (1, 2, 3, 4)
    ]
    achieved = [np.mean([SCORES[k] for k in top]) for top in drawn]
    perfect = [
        np.mean([any(SCORES[k] for k in some) for some in itertools.combinations(range(4), n)]) for n in (1, 2, 3, 4)
    ]
    found = values(ppe.measure(items, by_text(items, rewards), stream(0, "t")))
    assert achieved == [0.5, 0.5, 0.25, 0]
    assert found["best-of-n end score, mean of sets (ours)"] == pytest.approx(0)
    assert found["best-of-n highest score, mean of sets (ours)"] == pytest.approx(0.5)
    assert found["best-of-n loss, mean of sets (ours)"] == pytest.approx(np.mean(np.subtract(perfect, achieved) ** 2))
    assert found["AUC within prompts, mean of sets (ours)"] == pytest.approx(0.5)  # 3 > 1 and 2 > 1 of four


def test_what_could_not_be_scored_gains_nothing(tmp_path):
    items = ppe.items(written(tmp_path, math_best_of_k=[best(), best(question="q2")], human=[VOTE]))
    rewards = {"text 0": np.nan, "text 1": 3, "text 3": 2, "text 2": 1, "first": 0, "second": np.nan}
    assert ppe.credits(items, by_text(items, rewards)).tolist() == [0, 0.5, 0.5]
    found = values(ppe.measure(items, by_text(items, rewards), stream(0, "t")))
    assert found["human accuracy"] == 0
    assert found["AUC within prompts, mean of sets (ours)"] == 0
    assert found["best-of-n highest score, mean of sets (ours)"] == 0


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.permutations(range(4)))
def test_neither_a_rising_transform_nor_the_order_of_responses_matters(tmp_path_factory, rewards, order):
    folder = tmp_path_factory.mktemp("ppe")
    inverse = [order.index(k) for k in range(4)]
    pairs = [(0, 1), (3, 2)]
    row = best(pairs=pairs)
    turned = {**best([SCORES[k] for k in order], [(inverse[i], inverse[j]) for i, j in pairs], "q2"), "prompt": "other"}
    turned |= {f"response_{at + 1}": row[f"response_{k + 1}"] for at, k in enumerate(order)}
    items = ppe.items(written(folder, math_best_of_k=[row, turned]))
    told = {f"text {k}": float(reward) for k, reward in enumerate(rewards)}
    first, second = ppe.credits(items, by_text(items, told))
    assert first == second
    bent = {text: np.expm1(reward) for text, reward in told.items()}
    assert ppe.credits(items, by_text(items, bent)).tolist() == [first, second]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (best(gold=[True, None, False, True]), "scores: expected booleans or numbers, got NoneType"),
        (best(gold=SCORES[:3]) | {"response_4": "x"}, "scores: 3 scores do not fit"),
        (best() | {"response_4": None}, "response_4: expected text"),
        (best(pairs=[(1, 4)]), "sampled_conflict_pairs: expected two places from 0 to 3"),
        (best(pairs=[(1, 2, 3)]), "sampled_conflict_pairs: expected two places"),
        (best(question=None), "question_id: missing"),
        (best(question="q0"), "MATH:m:q0 repeats"),
        ({**VOTE, "winner": "model_c"}, "winner: expected model_a, model_b or a tie, got 'model_c'"),
    ],
)
def test_a_bad_row_names_file_row_and_field(tmp_path, row, message):
    with pytest.raises(BadInput, match=f"math.jsonl: row 2: .*{message}"):
        ppe.items(written(tmp_path, math=[best(question="q0"), row]))


def test_a_file_of_no_known_set_and_a_file_of_ties_are_told(tmp_path):
    with pytest.raises(BadInput, match="names one of MMLU-Pro, MATH"):
        ppe.items(written(tmp_path, unknown=[best()]))
    (tmp_path / "unknown.jsonl").unlink()
    with pytest.raises(BadInput, match="no vote has a winner"):
        ppe.items(written(tmp_path, human=[{**VOTE, "winner": "tie"}]))


def test_null_scorers_on_the_generated_set(tmp_path):
    folder = benchmarks.write(tmp_path, scale=0.02, only=["ppe"])["ppe"]
    config = ppe.Config(path=folder)
    items = ppe.items(config)
    votes = sum(1 for line in (folder / "human_preference_v1.jsonl").read_text().splitlines() if line)
    kept = [item for item in items if item.subset == ppe.HUMAN]
    assert len(kept) + ppe.left_out(config)[ppe.TIE] == votes
    assert ppe.left_out(config)[ppe.REPEATED] > 0
    constant = ppe.measure(items, scoring.null_scores(items, scoring.NULLS["constant"]), stream(0, "t"))
    assert constant.headline.name == "PPE correctness accuracy, mean of five sets"
    assert (constant.headline.value, values(constant)["human accuracy"]) == (0, 0)
    assert values(constant)["AUC within prompts, mean of sets (ours)"] == pytest.approx(0.5)
    longest = ppe.measure(items, scoring.null_scores(items, scoring.NULLS["longest"]), stream(0, "t"))
    assert longest.rows[ppe.HUMAN].value == pytest.approx(
        np.mean([len(item.responses[0]) > len(item.responses[1]) for item in kept])
    )
    for part in ppe.SETS.values():
        pairs = [
            len(item.responses[better]) > len(item.responses[worse])
            for item in items
            if item.subset == part
            for better, worse in item.pairs
        ]
        assert longest.rows[part].value == pytest.approx(np.mean(pairs))
