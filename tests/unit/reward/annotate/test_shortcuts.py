"""The shortcut detector: planted artefacts are named, clean worlds are left alone, and the numbers obey their laws."""

import functools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward.annotate import shortcuts
from skyloom.reward.annotate.control_tokens import cut
from skyloom.reward.sources import world

CLEAN = dict.fromkeys(
    ("copies", "near_copies", "hard_negatives", "contradictions", "length", "artefacts", "leaks"), 0.0
)
TOKENS = {
    "<im_start>": {"<im_start>"},
    "<|eot_id|>": {"<|eot_id|>"},
    "### Response:": {"###", "Response:"},
    "[/INST]": {"[/INST]"},
}
SHARES = (0.06, 0.03, 0.1, 0.2, 0.06)
SIZES = (800, 900, 1000, 1200)


def pairs_of(config):
    made = [world.to_record(raw.data) for raw in world.rows(config, 0)]
    turns = [[{"role": turn.role, "content": turn.content} for turn in each.prompt] for each in made]
    columns = {"prompt": turns, "chosen": [each.chosen for each in made], "rejected": [each.rejected for each in made]}
    return pl.DataFrame(columns).with_columns(row=pl.int_range(pl.len()), source=pl.lit(config.label or "world"))


@functools.cache
def clean(number):
    """Clean world `number` of 20: sizes and label noise go round."""
    noise = (0.0, 0.1)[number % 2]
    return pairs_of(world.Config(rows=SIZES[number % 4], seed=31_000 + 17 * number, label_noise=noise, **CLEAN))


def planted(rows, token, share, seed, side="rejected"):
    hit = pl.Series(stream(seed, "plant").random(rows.height) < share)
    return rows.with_columns(pl.when(hit).then(pl.col(side) + f" {token}").otherwise(pl.col(side)).alias(side))


def verdict(rows, config=None):
    """The one verdict of a single source."""
    (found,) = shortcuts.fit(rows, config or shortcuts.Config()).unique().to_dicts()
    return found


@pytest.mark.parametrize("number", range(20))
def test_twenty_clean_and_twenty_planted_worlds(number):
    rows = clean(number)
    found = verdict(rows)
    assert not found["shortcuts.alarm"], found["shortcuts.evidence"]
    assert found["shortcuts.feature"] is None
    assert found["shortcuts.auc"] < 0.6
    token, names = list(TOKENS.items())[number % 4]
    side = ("rejected", "chosen")[number % 3 == 2]
    found = verdict(planted(rows, token, SHARES[number % 5], number, side))
    assert found["shortcuts.alarm"], found["shortcuts.evidence"]
    assert found["shortcuts.feature"] in names, found["shortcuts.evidence"]
    assert f"in the {side} side alone" in found["shortcuts.evidence"]


def test_the_worlds_own_artefact_is_named_among_all_other_defects():
    found = verdict(pairs_of(world.Config(rows=1000, seed=5)))
    assert found["shortcuts.alarm"]
    assert found["shortcuts.feature"] == "<im_start>", found["shortcuts.evidence"]


def test_repaired_sides_no_longer_alarm():
    rows = planted(clean(1), "<im_start> user Hello there.", 0.1, 3)
    assert verdict(rows)["shortcuts.feature"] == "<im_start>"
    mended = rows.with_columns(cut(pl.col(side)).alias(side) for side in ("chosen", "rejected"))
    assert not verdict(mended)["shortcuts.alarm"]


def test_a_leak_of_every_pair_tells_all_and_says_so():
    found = verdict(planted(clean(0), "<im_start>", 1.1, 0))
    assert found["shortcuts.auc"] == 1.0
    assert "'<im_start>' in the rejected side alone in 800 of 800 pairs (100.0%), in the chosen in 0" in str(
        found["shortcuts.evidence"]
    )
    assert "[0.99" in found["shortcuts.evidence"]  # n = 800: never [1, 1]


@pytest.mark.parametrize(("longer", "alarm"), [(0.56, False), (0.9, True)])
def test_a_length_bias_alarms_above_its_level_and_names_a_length(longer, alarm):
    rows = clean(2)
    chosen_longer = rows["chosen"].str.len_chars() > rows["rejected"].str.len_chars()
    wished = pl.Series(stream(4, "length").random(rows.height) < longer)
    swap = chosen_longer != wished  # which side is chosen is drawn by length, so nothing but length tells
    sides = {"chosen": ("rejected", "chosen"), "rejected": ("chosen", "rejected")}
    biased = rows.with_columns(
        pl.when(swap).then(pl.col(a)).otherwise(pl.col(b)).alias(n) for n, (a, b) in sides.items()
    )
    found = verdict(biased)
    assert found["shortcuts.alarm"] is alarm, found["shortcuts.evidence"]
    assert not alarm or found["shortcuts.feature"] in {"characters", "words", "capitals", "sentences", "lines"}


def test_an_artefact_without_a_name_in_any_list_is_found():
    found = verdict(planted(clean(3), "qzx", 0.08, 9))
    assert found["shortcuts.feature"] == "qzx"


def test_few_prompts_are_not_judged_even_with_many_pairs():
    rows = planted(clean(0), "<im_start>", 1.1, 0)
    one_prompt = rows.with_columns(prompt=pl.Series(rows["prompt"].to_list()[:10] * 80))
    for few in (rows[:49], one_prompt):
        found = verdict(few)
        assert (found["shortcuts.alarm"], found["shortcuts.auc"], found["shortcuts.feature"]) == (False, None, None)
        assert found["shortcuts.evidence"].startswith("too few to judge")


def test_one_prompt_asked_often_is_one_vote():
    # 40 of 200 pairs share a token, but they all ask the same question: no more evidence than one pair.
    rows = clean(0)[:200]
    same = pl.Series([k < 40 for k in range(200)])
    asked = rows.with_columns(
        prompt=pl.Series([rows["prompt"][0].to_list() if k < 40 else rows["prompt"][k].to_list() for k in range(200)]),
        rejected=pl.when(same).then(pl.col("rejected") + " qzx").otherwise(pl.col("rejected")),
    )
    assert not verdict(asked)["shortcuts.alarm"]


def test_sources_are_judged_apart_and_order_changes_nothing():
    first, second = clean(0), planted(clean(1), "<|eot_id|>", 0.1, 1)
    both = pl.concat([first, second.with_columns(pl.col("row") + 10_000, source=pl.lit("other"))])
    found = shortcuts.fit(both, shortcuts.Config())
    assert found[:800].unique().to_dicts() == [verdict(first)]
    assert found[800:].unique().to_dicts() == [verdict(second)]
    order = stream(0, "order").permutation(both.height)
    assert shortcuts.fit(both[order], shortcuts.Config()).equals(found[order])


def test_a_large_source_is_sampled_by_row_key_and_says_so():
    rows = planted(clean(3), "<im_start>", 0.1, 1)
    config = shortcuts.Config(most=700)
    found = verdict(rows, config)
    assert found["shortcuts.evidence"].endswith("a sample of 1,200")
    assert "of 700 pairs" in found["shortcuts.evidence"]
    assert found["shortcuts.feature"] == "<im_start>"
    assert verdict(rows[::-1], config) == found
    assert verdict(rows, shortcuts.Config(most=700, seed=1)) != found


def test_swapping_every_label_mirrors_the_evidence_and_keeps_the_auc():
    rows = planted(clean(1), "[/INST]", 0.1, 2)
    swapped = verdict(rows.rename({"chosen": "rejected", "rejected": "chosen"}))
    found = verdict(rows)
    assert swapped["shortcuts.auc"] == found["shortcuts.auc"]
    assert swapped["shortcuts.feature"] == found["shortcuts.feature"] == "[/INST]"
    assert "'[/INST]' in the chosen side alone" in swapped["shortcuts.evidence"]


def test_sides_that_differ_in_word_order_alone_cannot_be_told():
    rows = clean(0).with_columns(chosen=pl.lit("x a b y"), rejected=pl.lit("x b a y"))
    found = verdict(rows)
    assert (found["shortcuts.alarm"], found["shortcuts.auc"]) == (False, 0.5)
    assert found["shortcuts.evidence"].startswith("no feature differs")


def test_no_rows_give_no_rows():
    assert shortcuts.fit(clean(0)[:0], shortcuts.Config()).height == 0


@pytest.mark.parametrize(
    "wrong",
    [{"min_share": 0.0}, {"purity": 0.5}, {"max_auc": 1.5}, {"least": 3}, {"most": 20}],
    ids=lambda each: next(iter(each)),
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(BadInput, match=f"{next(iter(wrong))}="):
        shortcuts.fit(clean(0), shortcuts.Config(**wrong))


@settings(max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=3, max_size=40))
def test_the_auc_is_the_share_of_two_pairs_whose_scores_sum_above_zero(scores):
    score_B = np.array(scores, float)
    sums = [a + b for k, a in enumerate(scores) for b in scores[k + 1 :]]
    expected = np.mean([1.0 if s > 0 else 0.5 if s == 0 else 0.0 for s in sums])
    found = shortcuts._auc(score_B, np.arange(len(scores)))
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high
    mirrored = shortcuts._auc(-score_B, np.arange(len(scores)))
    assert mirrored.value == pytest.approx(1 - found.value)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_classifier_stands_at_the_minimum_of_its_loss(seed):
    rng = np.random.default_rng(seed)
    gap_BF = rng.normal(size=(30, 4)) + rng.normal(size=4)

    def loss(w_F):
        return np.logaddexp(0, -gap_BF @ w_F).sum() + 4 * (w_F**2).sum() / 2

    w_F = shortcuts._logistic(gap_BF)
    assert all(loss(w_F) <= loss(w_F + step) for step in 1e-3 * rng.normal(size=(20, 4)))


@pytest.mark.prove
@pytest.mark.parametrize("number", range(40))
def test_large_worlds(number):
    size = (800, 1600, 3000, 4000)[number % 4]
    rows = pairs_of(world.Config(rows=size, seed=77_000 + number, label_noise=0.1 * (number % 2), **CLEAN))
    assert not verdict(rows)["shortcuts.alarm"]
    token, names = list(TOKENS.items())[number % 4]
    assert verdict(planted(rows, token, 0.06, number))["shortcuts.feature"] in names
