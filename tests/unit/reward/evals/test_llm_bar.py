"""LLMBar by hand: ties are half right, sets are averaged plainly, and the set is told by the file."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import llm_bar
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

ROW = {"input": "Q", "output_1": "a", "output_2": "b", "label": 1}


def item(k, part="Natural"):
    prompt = (Message(role="user", content=f"question {k}"),)
    return Item(name=str(k), subset=part, prompt=prompt, responses=("right", "wrong"))


def values(found):
    return {each.name: each.value for each in (found.headline, *found.others)}


def both_orders(first, second):
    """The published protocol, literally: the verdict is the first answer only where it scores higher."""
    shown = "right" if first > second else "wrong"
    swapped = "wrong" if second > first else "right"
    return [shown == "right", swapped == "right"]


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=20))
def test_credit_and_agreement_are_those_of_both_orders(rows):
    items = [item(k) for k in range(len(rows))]
    scores = [np.asarray(row, dtype=float) for row in rows]
    told = [both_orders(*row) for row in rows]
    assert llm_bar.credits(items, scores).tolist() == [np.mean(each) for each in told]
    found = values(llm_bar.measure(items, scores, stream(0, "t")))
    assert found["agreement of both orders"] == pytest.approx(np.mean([a == b for a, b in told]))


@pytest.mark.parametrize("score", [[np.nan, 0.0], [0.0, np.nan], [np.nan, np.nan]])
def test_what_could_not_be_scored_never_wins_nor_agrees(score):
    items, scores = [item(0), item(1)], [np.asarray(score), np.asarray([1.0, 0.0])]
    assert llm_bar.credits(items, scores).tolist() == [0, 1]
    assert values(llm_bar.measure(items, scores, stream(0, "t")))["agreement of both orders"] == 0.5


def test_sets_are_averaged_plainly():
    parts = {"Natural": (4, 4), "Neighbor": (1, 2), "GPTInst": (0, 5), "GPTOut": (3, 4), "Manual": (1, 4)}
    items, scores = [], []
    for part, (right, rows) in parts.items():
        items += [item(f"{part}{k}", part) for k in range(rows)]
        scores += [np.asarray([1.0, 0.0] if k < right else [0.0, 1.0]) for k in range(rows)]
    found = llm_bar.measure(items, scores, stream(0, "t"))
    assert found.headline.name == "LLMBar mean of five sets"
    assert found.headline.value == pytest.approx((1 + 0.5 + 0 + 0.75 + 0.25) / 5)
    assert values(found)["mean of Neighbor, GPTInst, GPTOut, Manual"] == pytest.approx(1.5 / 4)
    assert values(found)["all rows"] == pytest.approx(9 / 19)
    assert list(found.rows) == list(parts)


def test_a_missing_set_is_named():
    found = llm_bar.measure([item(0), item(1)], [np.asarray([1.0, 0.0])] * 2, stream(0, "t"))
    assert found.headline.name == "LLMBar mean of Natural alone"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All 419 generated rows."""
    folder = benchmarks.write(tmp_path_factory.mktemp("sets"), only=["llm_bar"])["llm_bar"]
    return llm_bar.items(llm_bar.Config(path=folder))


def test_the_published_counts_and_the_constant_scorer(whole):
    assert {part: sum(each.subset == part for each in whole) for part in llm_bar.PUBLISHED} == llm_bar.PUBLISHED
    found = llm_bar.measure(whole, scoring.null_scores(whole, scoring.NULLS["constant"]), stream(0, "t"))
    assert found.headline.value == pytest.approx(0.5)
    assert {row.value for row in found.rows.values()} == {0.5}
    assert values(found)["agreement of both orders"] == 0


def test_the_longest_scorer_is_counted_from_the_texts(whole):
    found = llm_bar.measure(whole, scoring.null_scores(whole, scoring.NULLS["longest"]), stream(0, "t"))
    longer = {
        part: np.mean([len(each.responses[0]) > len(each.responses[1]) for each in whole if each.subset == part])
        for part in llm_bar.PUBLISHED
    }
    assert {part: row.value for part, row in found.rows.items()} == pytest.approx(longer)
    assert found.headline.value == pytest.approx(np.mean(list(longer.values())))
    assert found.headline.value < 0.5  # the adversarial sets punish length


def test_the_labelled_answer_stands_first(tmp_path):
    (tmp_path / "Adversarial" / "GPTOut").mkdir(parents=True)
    file = tmp_path / "Adversarial" / "GPTOut" / "dataset.json"
    file.write_text(json.dumps([ROW, {**ROW, "label": 2}]))
    first, second = llm_bar.items(llm_bar.Config(path=tmp_path))
    assert (first.responses, second.responses) == (("a", "b"), ("b", "a"))
    assert (first.subset, first.name) == ("GPTOut", "GPTOut:1")


@pytest.mark.parametrize("label", [0, 3, "1", True, None])
def test_a_bad_label_is_named(tmp_path, label):
    file = tmp_path / "Natural.json"
    file.write_text(json.dumps([ROW, {**ROW, "label": label}]))
    with pytest.raises(BadInput, match="Natural.json: row 2: label: expected 1 or 2"):
        llm_bar.items(llm_bar.Config(path=file))


def test_a_file_of_no_known_set_is_told(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps([ROW]))
    with pytest.raises(BadInput, match="names one of Natural, Neighbor"):
        llm_bar.items(llm_bar.Config(path=tmp_path / "x.json"))
