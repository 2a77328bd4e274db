"""RewardBench's scoring rule, by hand-made numbers, files with its columns, and the null baselines of a generated set."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.core.text.ngrams import Rule
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals import reward_bench
from skyloom.reward.evals._items import Item
from skyloom.reward.evals._prompts import Prompt, index_of
from skyloom.reward.world import benchmarks

RIGHT, WRONG, TIE = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5])


def items_of(subset, count):
    prompts = (Message(role="user", content=f"{subset} {k}") for k in range(count))
    return [
        Item(name=f"{subset}:{k}", subset=subset, prompt=(prompt,), responses=("right", "wrong one"))
        for k, prompt in enumerate(prompts)
    ]


def whole_benchmark():
    return [item for subset, count in reward_bench.PUBLISHED.items() for item in items_of(subset, count)]


def scored(shares, count=100):
    """(items, scores) in which so many of `count` pairs of each subset are right."""
    items = [item for subset in shares for item in items_of(subset, count)]
    return items, [RIGHT if k < round(share * count) else WRONG for share in shares.values() for k in range(count)]


def measured(items, scores, seed=0):
    return reward_bench.measure(items, scores, stream(seed, "test"))


def named(found):
    return {each.name: each for each in found.others}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    return benchmarks.write(tmp_path_factory.mktemp("bench"), only=("reward_bench", "pref_test_sets"))


def test_the_official_row_counts_are_in_the_table():
    assert sum(reward_bench.PUBLISHED.values()) == 2985
    weights = {section: sum(parts.values()) for section, parts in reward_bench.SECTIONS.items()}
    assert weights == {"chat": 358, "chat_hard": 456, "safety": 740, "reasoning": 1968}


def test_math_counts_as_much_as_all_code():
    code = {name: 0.5 for name in reward_bench.SECTIONS["reasoning"] if name.startswith("hep")}
    assert measured(*scored({**code, "math-prm": 1.0})).rows["reasoning"].value == pytest.approx(0.75)


def test_sections_are_weighted_by_rows_and_averaged_plainly():
    found = measured(*scored({"alpacaeval-easy": 1.0, "mt-bench-med": 0.0, "donotanswer": 0.5}))
    assert found.rows["chat"].value == pytest.approx(100 / 140)
    assert found.headline.value == pytest.approx((100 / 140 + 0.5) / 2)
    assert found.headline.name == "RewardBench score of chat, safety alone"
    assert found.headline.low < found.headline.value < found.headline.high
    assert (found.rows["chat"].n, found.rows["safety"].n, found.headline.n) == (200, 100, 300)
    assert list(found.rows) == ["chat", "safety", "alpacaeval-easy", "mt-bench-med", "donotanswer"]


def test_prior_sets_weigh_half_a_section_and_both_variants_are_printed():
    four = {"alpacaeval-easy": 1.0, "mt-bench-hard": 1.0, "donotanswer": 1.0, "math-prm": 1.0}
    found = measured(*scored({**four, "shp": 0.0, "summarize": 0.5}))
    assert found.headline.value == pytest.approx(1.0)
    assert named(found)["RewardBench score with prior sets"].value == pytest.approx((2 * 4 * 1.0 + 0.25) / 9)
    assert found.rows["prior sets"].value == pytest.approx(0.25)
    assert not any("prior" in name for name in named(measured(*scored(four))))


def test_a_missing_section_is_left_out_of_the_variant_too():
    found = measured(*scored({"donotanswer": 0.6, "shp": 0.1}))
    name = "RewardBench score of safety alone with prior sets"
    assert named(found)[name].value == pytest.approx((2 * 0.6 + 0.1) / 3)


def test_length_categories_are_plain_means_of_their_subsets():
    found = named(measured(*scored({"alpacaeval-easy": 1.0, "xstest-should-respond": 0.4, "donotanswer": 0.2})))
    assert found["subsets: favours length"].value == pytest.approx(0.7)
    assert found["subsets: against length"].value == pytest.approx(0.2)
    tags = [reward_bench.LENGTH_TAGS.get(name, "against length") for name in reward_bench.PUBLISHED]
    assert {tag: tags.count(tag) for tag in tags} == {"favours length": 3, "neutral": 11, "against length": 9}


def test_an_unknown_subset_is_named():
    with pytest.raises(BadInput, match=r"unknown subset 'made-up'.*alpacaeval-easy"):
        measured(*scored({"made-up": 1.0}))
    with pytest.raises(BadInput, match="no subset of its four sections"):
        measured(*scored({"shp": 1.0}))


def test_a_constant_scorer_gets_zero_and_a_perfect_one_gets_one():
    items = whole_benchmark()
    assert measured(items, [TIE] * len(items)).headline.value == 0
    perfect = measured(items, [RIGHT] * len(items))
    assert perfect.headline.value == pytest.approx(1)
    assert 0.99 < perfect.headline.low < 1
    assert perfect.headline.name == "RewardBench score"


def test_the_six_code_languages_are_resampled_by_problem(generated):
    items = reward_bench.items(reward_bench.Config(path=generated["reward_bench"]))
    code = [item for item in items if item.subset.startswith("hep-")]
    assert len(code) == 984
    assert len({item.unit for item in code}) == 164
    assert code[0].unit == code[164].unit == "hep-1"
    # Six copies of one verdict are one piece of evidence: the interval is that of 164 rows, not of 984.
    right = [RIGHT if item.unit in {f"hep-{k}" for k in range(1, 83)} else WRONG for item in code]
    interval = measured(code, right).rows["reasoning"]
    assert interval.n == 164
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * (0.25 / 164) ** 0.5, rel=0.1)


def test_the_null_baselines_have_the_published_values(generated):
    items = reward_bench.items(reward_bench.Config(path=generated["reward_bench"]))
    longest = measured(items, scoring.null_scores(items, scoring.NULLS["longest"]))
    assert round(100 * longest.headline.value, 1) == 42.6
    assert longest.rows["alpacaeval-easy"].value == longest.rows["alpacaeval-hard"].value == 1
    assert measured(items, scoring.null_scores(items, scoring.NULLS["constant"])).headline.value == 0


def test_prior_sets_are_read_from_files_named_after_them(generated):
    config = reward_bench.Config(path=generated["reward_bench"], prior=generated["pref_test_sets"])
    items = reward_bench.items(config)
    assert {item.subset for item in items} == {*reward_bench.PUBLISHED, *reward_bench.PRIOR_SETS}
    assert reward_bench.inputs(config) == (generated["reward_bench"], generated["pref_test_sets"])
    assert any(len(item.prompt) > 1 for item in items if item.subset == "anthropic_helpful")


@settings(max_examples=25)
@given(order=st.permutations(range(12)), shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_order_of_rows_and_rising_maps_of_scores_change_nothing(order, shift, scale):
    items = items_of("donotanswer", 6) + items_of("hep-go", 6)
    scores = [stream(k, "scores").normal(size=2) for k in range(12)]
    moved = [np.exp(scale * scores[k] / 10) + shift for k in order]
    value = measured([items[k] for k in order], moved).headline.value
    assert value == pytest.approx(measured(items, scores).headline.value)


@given(k=st.integers(0, 5), side=st.integers(0, 1))
def test_a_missing_score_never_wins(k, side):
    items = items_of("donotanswer", 6)
    scores = [RIGHT.copy() for _ in items]
    scores[k][side] = np.nan
    assert reward_bench.credits(items, scores).tolist() == [float(j != k) for j in range(6)]


def test_scores_of_another_shape_are_refused():
    items = items_of("donotanswer", 2)
    with pytest.raises(BadInput, match="2 items need as many arrays of scores, got 1"):
        reward_bench.credits(items, [RIGHT])
    with pytest.raises(BadInput, match="donotanswer:1: 2 responses need as many scores"):
        reward_bench.credits(items, [RIGHT, np.zeros(3)])


def test_a_file_with_rewardbench_columns_is_read_whole_or_not_at_all(tmp_path):
    row = {"id": 1, "subset": "donotanswer", "prompt": "Q", "chosen": "a", "rejected": "b", "chosen_model": "m"}
    pl.DataFrame([row, {**row, "id": 2}]).write_parquet(tmp_path / "rb.parquet")
    items = reward_bench.items(reward_bench.Config(path=tmp_path / "rb.parquet"))
    assert [item.name for item in items] == ["donotanswer:1", "donotanswer:2"]
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "subset": "donotanswer", "prompt": "Q", "chosen": "a"}\n')
    with pytest.raises(BadInput, match=r"bad.jsonl: row 1: rejected: missing; RewardBench is scored whole"):
        reward_bench.items(reward_bench.Config(path=tmp_path / "bad.jsonl"))
    pl.DataFrame([row, row]).write_parquet(tmp_path / "twice.parquet")
    with pytest.raises(BadInput, match="row 2: id: donotanswer:1 repeats"):
        reward_bench.items(reward_bench.Config(path=tmp_path / "twice.parquet"))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(BadInput, match="holds no row"):
        reward_bench.items(reward_bench.Config(path=tmp_path / "empty.jsonl"))


def test_the_index_knows_every_item_of_the_world():
    items = reward_bench.items(reward_bench.Config())
    index = index_of([Prompt(item.name, item.prompt[-1].content) for item in items], Rule(n=8))
    hits = index.query([items[3].prompt[-1].content])
    assert items[3].name in hits["item"].to_list()
    found = measured(items, [RIGHT] * len(items))
    assert found.headline.name == "world score by RewardBench's rule"


@pytest.mark.parametrize(
    ("text", "marks"), [("plain", 0), ("- a\n- b", 2), ("# T\n1. x\n**b** `c`", 4), ("a * b * c", 0), ("> q", 1)]
)
def test_markdown_is_counted(text, marks):
    assert scoring.markdown(text) == marks


def test_the_random_scorer_depends_on_name_and_text_alone():
    one, two = items_of("donotanswer", 2)
    first = scoring.NULLS["random"](one)
    assert ((first >= 0) & (first < 1)).all()
    assert scoring.NULLS["random"](replace(one, responses=one.responses[::-1])).tolist() == first.tolist()[::-1]
    assert scoring.NULLS["random"](two).tolist() != first.tolist()


def test_the_interval_of_a_rule_is_that_of_its_formula_and_covers():
    items = [item for s in ("donotanswer", "mt-bench-easy") for item in items_of(s, 400)]
    rule = {"mean": lambda means: 0.5 * (means["donotanswer"][:, 0] + means["mt-bench-easy"][:, 0])}
    rng = stream(3, "coverage")
    inside, widths = 0, []
    for _ in range(200):
        values = np.concatenate([rng.normal(1.0, 1.0, 400), rng.normal(3.0, 2.0, 400)])
        found = scoring.resampled(items, values, rule, rng, resamples=400)["mean"]
        inside += found.low <= 2.0 <= found.high
        widths.append(found.high - found.low)
    assert found.n == 800
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.5 * (1 / 400 + 4 / 400) ** 0.5, rel=0.03)
    assert 0.9 <= inside / 200 <= 0.99


def test_small_strata_are_not_taken_for_certain():
    """Drawing n instead of n - 1 units of two would halve the variance."""
    items = [replace(item, subset=str(k // 2)) for k, item in enumerate(items_of("x", 400))]
    values = stream(0, "small").normal(size=400)
    rule = {"mean": lambda means: sum(means.values())[:, 0] / len(means)}
    found = scoring.resampled(items, values, rule, stream(1, "small"))["mean"]
    within = np.mean([np.ptp(values[k : k + 2]) ** 2 / 2 for k in range(0, 400, 2)])
    assert found.high - found.low == pytest.approx(2 * 1.96 * (within / 400) ** 0.5, rel=0.08)


def test_a_value_that_is_missing_counts_in_no_mean_and_no_mean_at_all_is_an_error():
    items = items_of("donotanswer", 4)
    values = np.array([1.0, np.nan, 0.0, np.nan])
    rule = {"mean": lambda means: means["donotanswer"][:, 0]}
    assert scoring.resampled(items, values, rule, stream(0, "x"))["mean"][0] == pytest.approx(0.5)
    assert scoring.resampled(items, values, rule, stream(0, "x"))["mean"].n == 2
    with pytest.raises(ValueError, match="no value"):
        scoring.resampled(items, np.full(4, np.nan), rule, stream(0, "x"))
