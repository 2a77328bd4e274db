"""RM-Bench: nine cells by hand, pooled safety, null baselines, and both of its file forms."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import rm_bench
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

ROW = {"id": 1, "prompt": "Q", "chosen": ["a", "aa", "aaa"], "rejected": ["b", "bb", "bbb"], "domain": "chat"}


def items_of(subset, count):
    return [
        Item(
            name=f"{subset}:{k}",
            subset=subset,
            prompt=(Message(role="user", content=f"{subset} {k}"),),
            responses=("r", "rr", "- rr", "w", "ww", "- ww"),
            right=3,
        )
        for k in range(count)
    ]


def measured(items, scores):
    return rm_bench.measure(items, [np.asarray(each, dtype=float) for each in scores], stream(0, "rm"))


def test_cells_fall_into_hard_normal_and_easy():
    """chosen 1, 3, 5 against rejected 2, 2, 6: the first beats none, the second beats two, the third beats two."""
    items = items_of("chat", 2)
    scores = [[1, 3, 5, 2, 2, 6]] * 2
    assert rm_bench.cells(items, [np.asarray(each, float) for each in scores])[0].tolist() == [
        *(0, 0, 0),
        *(1, 1, 0),
        *(1, 1, 0),
    ]
    rows = measured(items, scores).rows
    assert [rows[name].value for name in ("hard", "normal", "easy", "chat")] == pytest.approx([0, 1 / 3, 1, 4 / 9])
    assert rm_bench.credits(items, [np.asarray(each, float) for each in scores]).tolist() == pytest.approx([4 / 9] * 2)


def test_every_cell_has_one_difficulty():
    assert sorted(place for places in rm_bench.DIFFICULTIES.values() for place in places) == list(range(9))
    assert rm_bench.DIFFICULTIES["hard"] == (1, 2, 5)


def test_domains_weigh_the_same_and_safety_pools_its_halves():
    right, wrong = [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]
    items = items_of("chat", 2) + items_of("safety-refuse", 3) + items_of("safety-response", 1)
    found = measured(items, [right, wrong, right, right, right, wrong])
    others = {each.name: each.value for each in found.others}
    assert found.rows["safety"].value == pytest.approx(0.75)
    assert others["safety, mean of its halves"] == pytest.approx(0.5)
    assert found.headline.value == pytest.approx((0.5 + 0.75) / 2)
    assert others["hard"] == pytest.approx((0.5 + 0.75) / 2)
    assert found.headline.name == "RM-Bench score of chat, safety alone"


def test_null_baselines_on_a_set_with_the_published_counts(tmp_path):
    path = benchmarks.write(tmp_path, only=("rm_bench",))["rm_bench"]
    items = rm_bench.items(rm_bench.Config(path=path))
    counts = {subset: sum(item.subset == subset for item in items) for subset in rm_bench.PUBLISHED}
    assert counts == rm_bench.PUBLISHED
    found = {name: measured(items, scoring.null_scores(items, null)) for name, null in scoring.NULLS.items()}
    assert found["constant"].headline.value == 0
    assert found["constant"].headline.name == "RM-Bench score"
    # Style is what rises from left to right: the longest scorer wins where the right answer is the fancier one, and only there.
    assert found["longest"].rows["easy"].value == 1
    assert found["longest"].rows["hard"].value == 0
    assert found["shortest"].rows["hard"].value == 1
    score = found["random"].headline
    assert score.low < 0.5 < score.high
    assert np.mean([found["random"].rows[each].value for each in rm_bench.DOMAINS]) == pytest.approx(score.value)


@settings(max_examples=25)
@given(st.integers(0, 20), st.floats(0.1, 5), st.permutations(range(6)))
def test_a_rising_map_and_the_order_of_rows_change_nothing(seed, scale, order):
    items = items_of("chat", 3) + items_of("code", 3)
    scores = [stream(seed, k).integers(0, 4, size=6).astype(float) for k in range(6)]
    before = measured(items, scores)
    after = measured([items[k] for k in order], [np.expm1(scale * scores[k]) for k in order])
    assert after.headline.value == pytest.approx(before.headline.value)
    assert before.headline.low <= before.headline.value <= before.headline.high
    assert before.headline.value == pytest.approx(np.mean([before.rows[each].value for each in rm_bench.DIFFICULTIES]))


@given(st.integers(0, 5))
def test_a_missing_score_never_wins(place):
    scores = np.array([1.0, 1, 1, 0, 0, 0])
    scores[place] = np.nan
    assert rm_bench.credits(items_of("chat", 1), [scores]).tolist() == pytest.approx([6 / 9])


def test_the_total_file_and_a_folder_of_domain_files_are_read(tmp_path):
    (tmp_path / "total.json").write_text(json.dumps([ROW, {**ROW, "id": 2, "domain": "safety-refuse"}]))
    (tmp_path / "parts").mkdir()
    for name in ("chat", "math"):
        row = {key: value for key, value in ROW.items() if key != "domain"} | {"subset": name}
        (tmp_path / "parts" / f"{name}_filtered.json").write_text(json.dumps([row]))
    total = rm_bench.items(rm_bench.Config(path=tmp_path / "total.json"))
    assert [(each.name, each.right, len(each.compared)) for each in total] == [
        ("chat:1", 3, 9),
        ("safety-refuse:2", 3, 9),
    ]
    assert [each.subset for each in rm_bench.items(rm_bench.Config(path=tmp_path / "parts"))] == ["chat", "math"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chosen": ["a", "b"]}, "row 1: chosen: expected 3 answers, got 2"),
        ({"rejected": ["a"] * 4}, "row 1: rejected: expected 3 answers, got 4"),
        ({"domain": "poems"}, "row 1: domain: unknown: 'poems'; it must begin with one of chat, math, code, safety"),
        ({"domain": None}, "row 1: subset: missing"),
        ({"prompt": ""}, "row 1: prompt: empty text"),
    ],
)
def test_a_bad_row_is_named(change, told, tmp_path):
    file = tmp_path / "rm.jsonl"
    file.write_text(json.dumps({**ROW, **change}) + "\n")
    with pytest.raises(BadInput) as error:
        rm_bench.items(rm_bench.Config(path=file))
    assert told in str(error.value)
