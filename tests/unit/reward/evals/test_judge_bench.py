"""JudgeBench by hand: the tie rule, micro against macro, and the constant scorer of the published counts."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import judge_bench
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

ROW = {
    "pair_id": "1",
    "original_id": "1",
    "source": "mmlu-pro-law",
    "question": "Q",
    "response_model": "gpt-4o-2024-05-13",
    "response_A": "a",
    "response_B": "b",
    "label": "A>B",
}


def item(k, subset="GPT-4o mmlu-pro", label="A>B"):
    prompt = (Message(role="user", content=f"question {k}"),)
    return Item(name=str(k), subset=subset, prompt=prompt, responses=("right", "wrong"), tag=label)


def measured(items, scores):
    return judge_bench.measure(items, [np.asarray(row, dtype=np.float64) for row in scores], stream(0, "test"))


def values(found):
    return {each.name: each.value for each in (found.headline, *found.others)}


def test_a_tie_is_right_where_the_label_is_b():
    items = [item(k, label=label) for k, label in enumerate(["A>B", "B>A"] * 3)]
    scores = [[1, 0], [1, 0], [0, 1], [0, 1], [2, 2], [2, 2]]
    credit = judge_bench.credits(items, [np.asarray(row, dtype=float) for row in scores])
    assert credit.tolist() == [1, 1, 0, 0, 0, 1]
    found = values(measured(items, scores))
    assert found["tied pairs"] == pytest.approx(2 / 6)
    assert found["accuracy with ties wrong"] == pytest.approx(2 / 6)


@pytest.mark.parametrize("score", [[np.nan, 0.0], [0.0, np.nan], [np.nan, np.nan]])
@pytest.mark.parametrize("label", judge_bench.LABELS)
def test_what_could_not_be_scored_never_wins(score, label):
    assert judge_bench.credits([item(0, label=label)], [np.asarray(score)]).tolist() == [0]


def test_micro_counts_rows_and_macro_counts_sources():
    sources = ["mmlu-pro"] * 6 + ["livebench-math"] * 2 + ["livecodebench"] * 2
    items = [item(k, f"GPT-4o {source}") for k, source in enumerate(sources)]
    scores = [[1, 0]] * 6 + [[1, 0], [0, 1]] + [[0, 1]] * 2
    found = values(measured(items, scores))
    assert found["JudgeBench micro accuracy, GPT-4o pairs alone"] == pytest.approx(0.7)
    assert found["macro"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_both_halves_are_printed_and_a_source_is_pooled_over_them():
    items = [item(k, f"{half} mmlu-pro") for k, half in enumerate(["GPT-4o"] * 3 + ["Claude"])]
    items += [item(9, "Claude livecodebench")]
    found = values(measured(items, [[1, 0]] * 3 + [[0, 1]] + [[1, 0]]))
    assert found["JudgeBench micro accuracy"] == pytest.approx(4 / 5)
    assert (found["GPT-4o micro"], found["Claude micro"]) == (1, 0.5)
    assert found["macro"] == pytest.approx((3 / 4 + 1) / 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All 620 generated pairs."""
    folder = benchmarks.write(tmp_path_factory.mktemp("sets"), only=["judge_bench"])["judge_bench"]
    return judge_bench.items(judge_bench.Config(path=folder))


def test_the_constant_scorer_gets_the_published_share_of_second_places(whole):
    found = values(judge_bench.measure(whole, scoring.null_scores(whole, scoring.NULLS["constant"]), stream(0, "t")))
    assert found["GPT-4o micro"] == pytest.approx(157 / 350)
    assert found["Claude micro"] == pytest.approx(127 / 270)
    assert found["JudgeBench micro accuracy"] == pytest.approx(284 / 620)
    assert (found["tied pairs"], found["accuracy with ties wrong"]) == (1, 0)


def test_the_longest_scorer_is_counted_from_the_texts(whole):
    counts = {subset: sum(each.subset == subset for each in whole) for subset in judge_bench.PUBLISHED}
    assert counts == judge_bench.PUBLISHED
    found = judge_bench.measure(whole, scoring.null_scores(whole, scoring.NULLS["longest"]), stream(0, "t"))
    longer = [len(each.responses[0]) > len(each.responses[1]) for each in whole]
    assert 0.3 < np.mean(longer) < 0.7
    assert found.headline.value == pytest.approx(np.mean(longer))
    assert found.headline.low < found.headline.value < found.headline.high
    assert set(found.rows) == set(judge_bench.PUBLISHED)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5), st.booleans()), min_size=1, max_size=20))
def test_a_rising_transform_changes_nothing(rows):
    items = [item(k, label=judge_bench.LABELS[second]) for k, (_, _, second) in enumerate(rows)]
    scores = [np.asarray([a, b], dtype=float) for a, b, _ in rows]
    bent = [np.exp(score) - 3 for score in scores]
    assert judge_bench.credits(items, scores).tolist() == judge_bench.credits(items, bent).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "A=B"}, "label: expected A>B or B>A"),
        ({"source": "gsm8k"}, "source: unknown 'gsm8k'; known prefixes: mmlu-pro"),
        ({"response_B": None}, "response_B: expected text"),
        ({"pair_id": None}, "pair_id"),
    ],
)
def test_a_bad_row_names_file_row_and_field(tmp_path, change, message):
    file = tmp_path / "judge.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (ROW, {**ROW, "pair_id": "2", **change})))
    with pytest.raises(BadInput, match=rf"judge.jsonl: row 2: {message}.*whole or not at all"):
        judge_bench.items(judge_bench.Config(path=file))


def test_the_right_response_stands_first(tmp_path):
    file = tmp_path / "judge.jsonl"
    rows = (ROW, {**ROW, "pair_id": "2", "label": "B>A", "response_model": "claude-3-5-sonnet-20240620"})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = judge_bench.items(judge_bench.Config(path=file))
    assert (first.responses, first.tag, first.subset) == (("a", "b"), "A>B", "GPT-4o mmlu-pro")
    assert (second.responses, second.tag, second.subset) == (("b", "a"), "B>A", "Claude mmlu-pro")
