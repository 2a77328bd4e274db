"""WildGuardMix's two stages."""

import polars as pl

from skyloom.core.ledger.decide import reads_of, run_decider
from skyloom.reward.decide import wildguard
from skyloom.reward.decide.wildguard import Config

CATEGORIES = ["vanilla_harmful", "vanilla_benign", "adversarial_harmful", "adversarial_benign", "adversarial_harmful"]
MARGINS = [2.0, None, 0.0, 1.0, None]


def decided(config, categories=CATEGORIES, margins=MARGINS, alive=None):
    frame = pl.DataFrame({wildguard.CATEGORY: categories, wildguard.MARGIN: margins})
    return wildguard.decide(frame.with_columns(pl.Series("alive", alive or [True] * len(categories))), config).to_list()


def test_both_stages_in_order_and_a_tie_is_no_agreement():
    assert decided(Config()) == ["not_adversarial", "not_adversarial", "model_disagrees", None, "unjudged"]


def test_each_stage_can_run_alone():
    assert decided(Config(agreeing_only=False)) == ["not_adversarial", "not_adversarial", None, None, None]
    assert decided(Config(adversarial_only=False)) == [None, "unjudged", "model_disagrees", None, "unjudged"]
    assert decided(Config(adversarial_only=False, agreeing_only=False)) == [None] * 5
    assert reads_of(Config(agreeing_only=False)) == (wildguard.CATEGORY,), "stage 1 needs no judge"


def test_a_category_of_neither_kind_is_named_and_the_dead_are_left_alone():
    assert decided(Config(), ["chat", None], [1.0, 1.0]) == ["unknown_category"] * 2
    assert decided(Config(), alive=[False] * 5) == [None] * 5


def test_it_judges_its_own_source_only():
    ledger = pl.DataFrame(
        {
            "row": [0, 1],
            "source": ["wildguardmix", "helpsteer2"],
            wildguard.CATEGORY: ["vanilla_benign", ""],
            wildguard.MARGIN: [1.0, -1.0],
        }
    )
    verdict = run_decider(Config(), ledger.select, pl.Series([True, True]).to_numpy())
    assert verdict.reason_N.cast(pl.String).to_list() == ["not_adversarial", None]
