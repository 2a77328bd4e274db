"""RewardBench's scoring rule, by hand-made numbers and a file with its columns."""

import numpy as np
import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, wilson
from skyloom.core.text.ngrams import Rule
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import reward_bench
from skyloom.reward.evals._prompts import Prompt, index_of

COUNTS = {**{s: n for part in reward_bench.SECTIONS.values() for s, n in part.items()}, "math-prm": 447}


def whole_benchmark():
    return [
        scoring.Item(
            name=f"{subset}:{k}",
            subset=subset,
            prompt=(Message(role="user", content=f"{subset} {k}"),),
            chosen="right",
            rejected="wrong one",
        )
        for subset, count in COUNTS.items()
        for k in range(count)
    ]


def part(value, n=100):
    return wilson(round(value * n), n)


def test_the_official_row_counts_are_in_the_table():
    assert sum(COUNTS.values()) == 2985
    weights = {section: sum(parts.values()) for section, parts in reward_bench.SECTIONS.items()}
    assert weights == {"chat": 358, "chat_hard": 456, "safety": 740, "reasoning": 1968}


def test_math_counts_as_much_as_all_code():
    code = {name: part(0.5) for name in reward_bench.SECTIONS["reasoning"] if name.startswith("hep")}
    assert reward_bench.section_scores({**code, "math-prm": part(1.0)})["reasoning"].value == pytest.approx(0.75)


def test_sections_are_weighted_by_rows_and_averaged_plainly():
    subsets = {"alpacaeval-easy": part(1.0), "mt-bench-med": part(0.0), "donotanswer": part(0.5)}
    sections = reward_bench.section_scores(subsets)
    assert sections["chat"].value == pytest.approx(100 / 140)
    assert reward_bench.overall(sections).value == pytest.approx((100 / 140 + 0.5) / 2)
    assert reward_bench.score_name(sections) == "RewardBench score of chat, safety alone"


def test_prior_sets_weigh_half_a_section():
    subsets = {
        "alpacaeval-easy": part(1.0),
        "mt-bench-hard": part(1.0),
        "donotanswer": part(1.0),
        "math-prm": part(1.0),
    }
    prior = reward_bench.with_prior_sets({**subsets, "shp": part(0.0), "summarize": part(0.5)})
    assert prior is not None
    assert prior.value == pytest.approx((2 * 4 * 1.0 + 0.25) / 9)
    assert reward_bench.with_prior_sets(subsets) is None


def test_an_unknown_subset_is_named():
    with pytest.raises(BadInput, match="unknown subset 'made-up'.*alpacaeval-easy"):
        reward_bench.section_scores({"made-up": part(1.0)})


def test_a_constant_scorer_gets_zero_and_a_perfect_one_gets_one():
    items = whole_benchmark()
    rng = stream(0, "test")
    constant = reward_bench.report(items, np.ones((len(items), 2)), rng).evaluation
    assert constant.headline.value == 0
    perfect = reward_bench.report(items, np.tile([1.0, 0.0], (len(items), 1)), rng).evaluation
    assert perfect.headline.value == pytest.approx(1)
    assert {each.name: each.value for each in perfect.baselines}["shortest"] == pytest.approx(1)
    assert {each.name: each.value for each in perfect.baselines}["longest"] == 0
    assert perfect.headline.name == "RewardBench score"
    assert not perfect.beats_null


def test_what_could_not_be_scored_is_wrong():
    items = whole_benchmark()[:2]
    assert scoring.wins(items, np.array([[np.nan, np.nan], [1.0, 0.0]])).tolist() == [False, True]
    with pytest.raises(BadInput, match="shape"):
        scoring.wins(items, np.zeros((3, 2)))


def test_the_combined_interval_of_one_part_is_wilsons_and_of_many_is_tighter():
    one = wilson(70, 100)
    assert scoring.combine([(3.0, one)], "m")[:3] == pytest.approx(one[:3])
    four = scoring.combine([(1.0, one)] * 4, "m")
    assert four.high - four.low == pytest.approx((one.high - one.low) / 2)
    assert four.n == 400
    # Zou & Donner 2008: a difference or sum of equal Wilson halves adds in quadrature.
    two = scoring.combine([(1.0, Interval(0.5, 0.4, 0.6, 10, "")), (1.0, Interval(0.7, 0.3, 0.8, 10, ""))], "m")
    assert two.low == pytest.approx(0.6 - (0.05**2 + 0.2**2) ** 0.5)


def test_a_file_with_rewardbench_columns_is_read_whole_or_not_at_all(tmp_path):
    row = {"id": 1, "subset": "donotanswer", "prompt": "Q", "chosen": "a", "rejected": "b", "chosen_model": "m"}
    pl.DataFrame([row, {**row, "id": 2}]).write_parquet(tmp_path / "rb.parquet")
    items = reward_bench.items(reward_bench.Config(path=tmp_path / "rb.parquet"))
    assert [item.name for item in items] == ["donotanswer:1", "donotanswer:2"]
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "subset": "donotanswer", "prompt": "Q", "chosen": "a"}\n')
    with pytest.raises(BadInput, match="row 1: rejected: missing"):
        reward_bench.items(reward_bench.Config(path=tmp_path / "bad.jsonl"))


def test_the_index_knows_every_item_of_the_world():
    items = reward_bench.items(reward_bench.Config())
    index = index_of([Prompt(item.name, item.prompt[-1].content) for item in items], Rule(n=8))
    hits = index.query([items[3].prompt[-1].content])
    assert items[3].name in hits["item"].to_list()


@pytest.mark.parametrize(
    ("text", "marks"), [("plain", 0), ("- a\n- b", 2), ("# T\n1. x\n**b** `c`", 4), ("a * b * c", 0), ("> q", 1)]
)
def test_markdown_is_counted(text, marks):
    assert len(scoring.MARKDOWN.findall(text)) == marks
