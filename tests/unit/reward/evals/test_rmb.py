"""RMB by hand: lists, the mean of four, scenario averaging, and rows that no scorer can win."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import rmb
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

TURN = {"role": "user", "content": "Q", "language": "English"}
PAIR = {
    "pair_uid": "7",
    "conversation_input": [TURN],
    "chosen": {"llm_name": "a", "answer": "good"},
    "reject": {"llm_name": "b", "answer": "bad"},
    "category_path": "Pairwise_set/Helpfulness/Open QA/Factual",
}
LIST = {
    "bon_uid": 7,
    "conversation_input": [TURN, {**TURN, "role": "assistant"}, TURN],
    "bon_best": {"llm_name": "a", "answer": "best"},
    "loser_list": [{"llm_name": "b", "answer": "worse"}, {"llm_name": "c", "answer": "worst"}],
    "category_path": "BoN_set/Harmlessness/S1",
}


def item(k, part, scenario="s", responses=("right", "wrong")):
    prompt = (Message(role="user", content=f"question {k}"),)
    return Item(name=str(k), subset=part, prompt=prompt, responses=responses, tag=scenario)


def measured(items, scores):
    return rmb.measure(items, [np.asarray(row, dtype=np.float64) for row in scores], stream(0, "test"))


def values(found):
    return {each.name: each.value for each in (found.headline, *found.others)}


def test_the_winner_of_a_list_must_beat_every_loser():
    items = [item(k, "helpful best-of-n", responses=("best", "x", "y")) for k in range(4)]
    scores = [[3, 2, 1], [3, 1, 3], [3, 4, 1], [3, 2, np.nan]]
    assert rmb.credits(items, [np.asarray(row, dtype=float) for row in scores]).tolist() == [1, 0, 0, 0]


def test_the_score_is_the_mean_of_four_parts_however_large_they_are():
    items, scores = [], []
    for part, right, rows in zip(rmb.PARTS, (4, 3, 1, 0), (4, 6, 2, 5), strict=True):
        items += [item(f"{part}{k}", part) for k in range(rows)]
        scores += [[1, 0]] * right + [[0, 1]] * (rows - right)
    found = measured(items, scores)
    assert found.headline.name == "RMB score"
    assert found.headline.value == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert [found.rows[part].value for part in rmb.PARTS] == pytest.approx([1, 0.5, 0.5, 0])


def test_a_missing_part_is_named():
    found = measured([item(k, "harmless pairwise") for k in range(2)], [[1, 0], [0, 1]])
    assert found.headline.name == "RMB score of harmless pairwise alone"


def test_scenarios_are_averaged_beside_pooling():
    items = [item(k, "helpful pairwise", "big") for k in range(4)] + [item(9, "helpful pairwise", "small")]
    found = measured(items, [[1, 0]] * 4 + [[0, 1]])
    assert found.headline.value == pytest.approx(4 / 5)
    assert values(found)["RMB score of helpful pairwise alone, scenarios averaged"] == pytest.approx(1 / 2)
    assert found.rows["helpful pairwise: small"].value == 0


def test_what_cannot_be_won_is_counted():
    items = [item(0, "helpful pairwise", responses=("same", "same")), item(1, "helpful pairwise")]
    items.append(item(2, "helpful best-of-n", responses=("a", "b", "a")))
    found = values(measured(items, [[0, 0], [1, 0], [1, 0, 1]]))
    assert found["items whose winner stands among its losers"] == pytest.approx(2 / 3)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=4), min_size=1, max_size=15), st.permutations([0, 1]))
def test_order_of_losers_and_rising_transforms_change_nothing(rows, order):
    items = [item(k, "helpful best-of-n", responses=tuple("abcd"[: len(row)])) for k, row in enumerate(rows)]
    scores = [np.asarray(row, dtype=float) for row in rows]
    right = rmb.credits(items, scores)
    turned = [np.concatenate([row[:1], row[1:][::-1] if order[0] else row[1:]]) for row in scores]
    assert right.tolist() == rmb.credits(items, turned).tolist()
    assert right.tolist() == rmb.credits(items, [np.arctan(row) for row in scores]).tolist()


def test_both_kinds_of_file_are_read_with_their_defects(tmp_path):
    defects = [
        {**PAIR, "pair_uid": "8", "reject": PAIR["chosen"]},
        {**PAIR, "pair_uid": "9", "reject": {"llm_name": "b", "answer": ""}},
        {**PAIR, "pair_uid": "10", "conversation_input": [{**TURN, "content": ""}]},
    ]
    for folder, rows in (("Pairwise_set", [PAIR, *defects]), ("BoN_set", [LIST])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Two Words.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    made = {each.name: each for each in rmb.items(rmb.Config(path=tmp_path))}
    assert list(made) == ["best-of-n:7", "pairwise:7", "pairwise:8", "pairwise:9", "pairwise:10"]
    assert made["pairwise:7"].subset == "helpful pairwise"
    assert made["pairwise:7"].tag == "Open QA/Factual"
    assert made["best-of-n:7"].responses == ("best", "worse", "worst")
    assert (made["best-of-n:7"].subset, made["best-of-n:7"].tag) == ("harmless best-of-n", "S1")
    assert [turn.role for turn in made["best-of-n:7"].prompt] == ["user", "assistant", "user"]
    assert made["pairwise:9"].responses == ("good", "")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**PAIR, "category_path": "Pairwise_set/Wit/x"}, "category_path: names none of Helpfulness"),
        ({**PAIR, "reject": {"llm_name": "b"}}, "reject.answer: missing"),
        ({**PAIR, "pair_uid": None}, "pair_uid: missing"),
        ({**PAIR, "conversation_input": [{**TURN, "role": "tool"}]}, "conversation_input.role: unknown role"),
        ({**PAIR, "conversation_input": []}, "conversation_input: empty list"),
        ({**LIST, "loser_list": []}, "loser_list: empty list"),
        ({**LIST, "loser_list": ["x"]}, "loser_list: expected an object"),
    ],
)
def test_a_bad_row_names_file_row_and_field(tmp_path, row, message):
    file = tmp_path / "rmb.json"
    file.write_text(json.dumps([{**PAIR, "pair_uid": "first"}, row]))
    with pytest.raises(BadInput, match=f"rmb.json: row 2: {message}"):
        rmb.items(rmb.Config(path=file))


def test_null_scorers_on_the_generated_set(tmp_path):
    folder = benchmarks.write(tmp_path, scale=0.02, only=["rmb"])["rmb"]
    items = rmb.items(rmb.Config(path=folder))
    assert {each.subset for each in items} == set(rmb.PARTS)
    assert len({each.tag for each in items}) == 49
    nulls = {name: scoring.null_scores(items, null) for name, null in scoring.NULLS.items()}
    constant = rmb.measure(items, nulls["constant"], stream(0, "t"))
    assert constant.headline.value == 0
    longest = rmb.measure(items, nulls["longest"], stream(0, "t"))
    for part in rmb.PARTS:
        of_part = [each for each in items if each.subset == part]
        won = [all(len(each.responses[0]) > len(other) for other in each.responses[1:]) for each in of_part]
        assert longest.rows[part].value == pytest.approx(np.mean(won))
    assert longest.headline.value == pytest.approx(np.mean([longest.rows[part].value for part in rmb.PARTS]))
    assert longest.headline.low < longest.headline.value < longest.headline.high
