"""Deciders meet their examples, and nulls never slip through."""

from types import ModuleType

import polars as pl
import pytest

from skyloom.starcraft.decide import duplicate, idle_side, short_games, unverified, winners_only

ALL = [duplicate, idle_side, short_games, unverified, winners_only]


@pytest.mark.parametrize("module", ALL)
def test_examples(module: ModuleType):
    ledger = pl.DataFrame([row for row, _ in module.EXAMPLE], infer_schema_length=None)
    assert tuple(ledger.columns) == module.READS
    assert module.decide(ledger, module.Config()).to_list() == [reason for _, reason in module.EXAMPLE]


@pytest.mark.parametrize("module", [idle_side, short_games, winners_only, unverified])
def test_what_no_annotator_spoke_about_is_dropped(module: ModuleType):
    types = {"verified.exact": pl.Boolean, "verified.problem": pl.String, "game.winner": pl.Int64}
    ledger = pl.DataFrame(
        {name: [None] for name in module.READS}, schema={n: types.get(n, pl.Float64) for n in module.READS}
    )
    assert module.decide(ledger, module.Config()).to_list() != [None]


def test_thresholds_are_inclusive():
    assert short_games.decide(
        pl.DataFrame({"game.seconds": [30.0, 29.9]}), short_games.Config(min_seconds=30)
    ).to_list() == [None, "too_short"]
    assert idle_side.decide(pl.DataFrame({"game.least_apm": [5.0, 4.9]}), idle_side.Config(min_apm=5)).to_list() == [
        None,
        "idle_side",
    ]
