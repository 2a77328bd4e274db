"""Game facts, duplicates and verification against known games."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from skyloom.arena import recording
from skyloom.starcraft.annotate import duplicate, game, verified
from skyloom.starcraft.play import Outcome


@pytest.mark.parametrize("module", [game, verified])
def test_map_annotators_meet_their_examples(module):
    given, expected = module.EXAMPLE
    found = module.annotate(pl.DataFrame(list(given)), module.Config())
    assert found.columns == list(module.WRITES)
    assert found.to_dicts() == list(expected)


def test_the_duplicate_annotator_meets_its_example():
    given, expected = duplicate.EXAMPLE
    assert duplicate.fit(pl.DataFrame(list(given)), duplicate.Config()).to_dicts() == list(expected)


def verdict(data: bytes, winner: int) -> str | None:
    rows = pl.DataFrame({"recording": [data], "winner": [winner]})
    found = verified.annotate(rows, verified.Config()).row(0, named=True)
    assert found["verified.exact"] == (found["verified.problem"] is None)
    return found["verified.problem"]


def test_a_true_recording_is_verified(short_game: Outcome):
    assert verdict(short_game.recording.to_bytes(), short_game.winner) is None


def test_a_wrong_winner_is_told(short_game: Outcome):
    assert verdict(short_game.recording.to_bytes(), 1) == "winner"


def test_a_cut_recording_is_damaged(short_game: Outcome):
    assert verdict(short_game.recording.to_bytes()[:-1], 0) == "damaged"


def test_a_changed_command_makes_another_game(short_game: Outcome):
    from skyloom.starcraft.sources.arena_games import alter

    assert verdict(alter(short_game.recording).to_bytes(), 0) == "differs"


def test_another_ruleset_differs(short_game: Outcome):
    other = dataclasses.replace(short_game.recording, ruleset="terran_opening-ffffffff")
    assert verdict(other.to_bytes(), 0) == "differs"
    assert isinstance(recording.from_bytes(other.to_bytes()).decisions_D8, np.ndarray)
