"""Win rates: who won from which side, intervals, and files that the report reads."""

from pathlib import Path

import pytest

from skyloom.core.metrics import read_evaluation, read_plots, read_tables
from skyloom.starcraft.evals import win_rate
from skyloom.starcraft.evals.win_rate import Config, Item, Tally, items, result_of, score
from skyloom.starcraft.play import Outcome
from skyloom.starcraft.policies import RandomPolicy


def ended(game: Outcome, winner: int) -> Outcome:
    return game._replace(winner=winner)


def test_sides_alternate_and_seeds_are_fresh():
    found = list(items(0, "slow_push", 6))
    assert [item.side for item in found] == [1, 2, 1, 2, 1, 2]
    assert len({item.seed for item in found}) == 6
    assert {item.seed for item in found}.isdisjoint(item.seed for item in items(1, "slow_push", 6))


@pytest.mark.parametrize(("side", "winner", "result"), [(1, 1, "win"), (1, 2, "loss"), (2, 2, "win"), (2, 0, "draw")])
def test_the_result_is_the_agents(short_game: Outcome, side: int, winner: int, result: str):
    item = Item("slow_push", side, 3)
    assert result_of(item, ended(short_game, winner)) == result
    assert score(item, ended(short_game, winner)) == float(result == "win")


def test_draws_are_no_wins(short_game: Outcome):
    outcomes = tuple((Item("x", 1, k), ended(short_game, winner)) for k, winner in enumerate((1, 1, 0, 2)))
    tally = Tally("agent", "x", outcomes)
    assert [tally.count(result) for result in ("win", "draw", "loss")] == [2, 1, 1]
    assert tally.estimate.value == 0.5
    assert tally.estimate.low == pytest.approx(0.1500, abs=1e-4)  # Wilson, 2 of 4
    assert tally.estimate.n == 4


def test_an_evaluation_writes_what_the_report_reads(tmp_path: Path):
    config = Config(games=2, null_games=2, max_loops=120)
    found = win_rate.evaluate(RandomPolicy(), config, 0, tmp_path)
    assert read_evaluation(tmp_path) == found
    assert found.headline.value == 0.0
    assert [each.n for each in found.baselines] == [2, 2]
    assert not found.beats_null
    (table,) = read_tables(tmp_path)
    assert [row[0] for row in table.rows] == ["agent", "random", "idle"]
    assert read_plots(tmp_path)[0].series[0].name == "draw"
    win_rate.evaluate(RandomPolicy(), config, 0, tmp_path / "again")
    for name in ("results.json", "tables.json", "plots.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
