"""Any file of pairs: what a row may look like, what is refused, and the numbers that come out."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message, to_row
from skyloom.core.rng import stream
from skyloom.core.stats import wilson
from skyloom.reward.evals import held_out, pairs
from skyloom.reward.evals._items import Item
from skyloom.reward.records import pair

RIGHT, WRONG, TIE = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5])
TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Q1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "Q2"},
]
ROW = {"id": "a", "subset": "s", "prompt": "Q", "chosen": "good", "rejected": "bad"}


def read(tmp_path, *rows):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pairs.items(pairs.Config(path=file))


def items_of(subset, count, prompts=None):
    return [
        Item(
            name=f"{subset}:{k}",
            subset=subset,
            prompt=(Message(role="user", content=f"{subset} {k % (prompts or count)}"),),
            responses=("good", "bad"),
        )
        for k in range(count)
    ]


def test_a_row_is_text_or_turns_and_its_id_and_subset_may_be_missing(tmp_path):
    reply = {"role": "assistant", "content": "good"}
    rows = [
        ROW,
        {"prompt": TURNS, "chosen": "good", "rejected": "bad", "note": 3},
        {"id": 7, "chosen": [*TURNS, reply], "rejected": [*TURNS, {**reply, "content": "bad"}]},
        {
            "id": 8,
            "subset": None,
            "prompt": "Q",
            "chosen": [{"role": "user", "content": "Q"}, reply],
            "rejected": "bad",
        },
    ]
    found = read(tmp_path, *rows)
    assert [item.name for item in found] == ["s:a", "all:2", "all:7", "all:8"]
    assert {item.responses for item in found} == {("good", "bad")}
    assert [len(item.prompt) for item in found] == [1, 4, 4, 1]
    assert found[1].prompt[0] == Message(role="system", content="Be kind.")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chosen": None}, "chosen: expected text, got NoneType"),
        ({"rejected": ""}, "rejected: empty text"),
        ({"prompt": None}, "prompt: missing: sides given as text need a prompt"),
        ({"prompt": TURNS[:3]}, "prompt: role order broken: the last turn"),
        ({"subset": 3}, "subset: expected text, got int"),
        ({"id": [1]}, "id: expected text or a whole number, got list"),
        ({"prompt": [{"role": "robot", "content": "Q"}]}, "prompt.role: unknown role"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_scored(change, told, tmp_path):
    with pytest.raises(BadInput) as error:
        read(tmp_path, ROW, {**ROW, "id": "b", **change})
    assert f"pairs.jsonl: row 2: {told}" in str(error.value)
    assert "scored whole or not at all" in str(error.value)


def test_a_repeated_id_and_broken_json_are_refused(tmp_path):
    with pytest.raises(BadInput, match="row 2: id: s:a repeats"):
        read(tmp_path, ROW, ROW)
    assert len(read(tmp_path, ROW, {**ROW, "subset": "t"})) == 2
    (tmp_path / "pairs.jsonl").write_text('{"id": \n')
    with pytest.raises(BadInput, match="row 1: row: not valid JSON|row 1: .*not valid JSON"):
        pairs.items(pairs.Config(path=tmp_path / "pairs.jsonl"))


def test_accuracy_over_all_and_by_subset():
    items = items_of("big", 3) + items_of("small", 1)
    found = pairs.measure(items, [RIGHT, RIGHT, TIE, WRONG], stream(0, "p"))
    assert found.headline.name == "accuracy, all pairs"
    assert found.headline.interval == wilson(2, 4)
    assert {name: each.value for name, each in found.rows.items()} == {"all pairs": 0.5, "big": 2 / 3, "small": 0.0}
    assert [(each.name, each.value) for each in found.others] == [("mean of the subsets", pytest.approx(1 / 3))]
    alone = pairs.measure(items[:3], [RIGHT] * 3, stream(0, "p"))
    assert list(alone.rows) == ["big"]
    assert not alone.others


def test_pairs_of_one_prompt_are_resampled_together():
    items, scores = items_of("s", 200, prompts=20), [RIGHT if k % 20 < 10 else WRONG for k in range(200)]
    found = pairs.measure(items, scores, stream(0, "p")).headline
    assert found.n == 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.25 / 19) ** 0.5, rel=0.15)


@settings(max_examples=25)
@given(st.permutations(range(6)), st.integers(0, 20), st.integers(0, 5))
def test_order_does_not_matter_rising_maps_neither_and_what_is_missing_is_wrong(order, seed, k):
    items = items_of("s", 3) + items_of("t", 3)
    scores = [stream(seed, j).integers(0, 3, size=2).astype(float) for j in range(6)]
    credit = pairs.credits(items, scores)
    assert (
        pairs.credits([items[j] for j in order], [np.exp(scores[j]) for j in order]).tolist() == credit[order].tolist()
    )
    scores[k] = np.array([np.inf, np.nan])
    assert pairs.credits(items, scores)[k] == 0


def test_held_out_pairs_are_measured_the_same_way(tmp_path):
    prompt = [Message(role="user", content="Q")]
    rows = [to_row(pair(prompt, "good", f"bad {k}", category="s")) for k in range(4)]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "held_out.parquet")
    items = held_out.items(held_out.Config(path=tmp_path / "held_out.parquet"))
    found = held_out.measure(items, [RIGHT, RIGHT, RIGHT, WRONG], stream(0, "h"))
    assert (found.headline.name, found.headline.value, found.headline.n) == ("held-out accuracy", 0.75, 1)
    with pytest.raises(BadInput, match="train.held_out_share above 0"):
        held_out.items(held_out.Config(path=tmp_path / "none.parquet"))
