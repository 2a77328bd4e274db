"""The world of games: planned defects, truth, and the same games from the same seed."""

from collections import Counter

import pytest

from skyloom.arena import recording
from skyloom.core.errors import BadRow
from skyloom.starcraft.sources import arena_games
from skyloom.starcraft.sources.arena_games import DEFECTS, Config, plan_game

SHORT = Config(games=6, games_a_shard=3, max_loops=400, defect_share=0.0)


def test_the_example_maps_exactly():
    raw, record = arena_games.EXAMPLE
    assert arena_games.to_record(raw) == record
    assert not any(arena_games.truth(raw).values())


def test_defects_come_in_the_planned_share_and_shards_begin_without_a_copy():
    plans = [plan_game(Config(defect_share=0.05, games_a_shard=16), k) for k in range(4000)]
    found = Counter(plan.defect for plan in plans)
    assert set(found) == {*DEFECTS, ""}
    assert all(0.035 < found[defect] / 4000 < 0.065 for defect in DEFECTS)
    assert all(plans[k].defect != "duplicate" for k in range(0, 4000, 16))


def test_sides_swap_every_round_and_seeds_differ():
    config = Config(matchups=("a:b", "c:d"), defect_share=0.0)
    assert [plan_game(config, k).bots for k in range(4)] == [("a", "b"), ("c", "d"), ("b", "a"), ("d", "c")]
    assert len({plan_game(config, k).seed for k in range(100)}) == 100


def test_the_same_config_plays_the_same_games():
    first = [arena_games.to_record(raw.data) for raw in arena_games.rows(SHORT, 1)]
    second = [arena_games.to_record(raw.data) for raw in arena_games.rows(SHORT, 1)]
    assert first == second
    assert len(first) == 3
    assert len({game.recording for game in first}) == 3
    assert all(game.loops == 400 and game.winner == 0 for game in first)
    assert {side.name for side in first[0].sides} == {"marine_push", "slow_push"}
    assert {each.type: each.count for each in first[0].sides[0].built}["CommandCenter"] == 1


def test_planted_defects_are_in_the_rows_and_in_the_truth(monkeypatch: pytest.MonkeyPatch):
    planned = iter(["", "duplicate", "truncated", "altered", "idle_side"])
    plan = arena_games.plan_game
    monkeypatch.setattr(arena_games, "plan_game", lambda config, k: plan(config, k)._replace(defect=next(planned)))
    config = Config(games=5, games_a_shard=5, max_loops=1500, defect_share=0.0)
    raws = [raw.data for raw in arena_games.rows(config, 0)]
    told = [[name for name, planted in arena_games.truth(raw).items() if planted] for raw in raws]
    assert told == [[], ["duplicate"], ["truncated"], ["altered"], ["idle_side"]]
    clean, copy, cut, altered, idle = (arena_games.to_record(raw) for raw in raws)
    assert copy == clean
    recording.replay(recording.from_bytes(clean.recording))
    with pytest.raises(recording.BadRecording):
        recording.from_bytes(cut.recording)
    with pytest.raises(recording.BadRecording):
        recording.replay(recording.from_bytes(altered.recording))
    assert [side.commands > 0 for side in idle.sides] == [True, False]


def test_a_false_winner_is_the_other_side():
    plan = plan_game(Config(defect_share=0.0), 0)._replace(defect="false_winner")
    (outcome,) = arena_games.play_games("basin", [arena_games.Pairing(1, "marine_push", "slow_push")], 300)
    assert arena_games.raw_game(plan, outcome._replace(winner=1))["winner"] == 2
    assert arena_games.raw_game(plan, outcome._replace(winner=2))["winner"] == 1


@pytest.mark.parametrize(("field", "value"), [("recording", "text"), ("winner", 3), ("bots", ["one"]), ("loops", None)])
def test_a_malformed_game_is_a_bad_row(field: str, value: object):
    raw, _ = arena_games.EXAMPLE
    with pytest.raises(BadRow):
        arena_games.to_record({**raw, field: value})


@pytest.mark.parametrize("wrong", [{"games": 0}, {"defect_share": 0.5}, {"matchups": ("one",)}])
def test_configs_that_make_no_games_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError):
        Config(**wrong)
