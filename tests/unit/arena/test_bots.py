"""Every scripted player: plays whole games, legally, the same game for the same seed, at its own cadence."""

import numpy as np
import pytest

from skyloom.arena import match, spec
from skyloom.core import registry

NAMES = registry.names("arena.bots")


def played(name, seed, max_loops=4000):
    """Results of all commands, their skips, and the recording."""
    games = match.Games("basin", (seed,), max_loops=max_loops)
    players = [match.bot(name), match.bot(name)]
    for player_id, player in enumerate(players, start=1):
        player.reset(seed + player_id, player_id, games.start(0, player_id))
    results, skips = [], []
    while len(games.waiting):
        views = games.observe()
        actions = [players[player - 1].act(views[k]) for k, (_, player) in enumerate(games.waiting.tolist())]
        results += [r for r, action in zip(games.act(actions), actions, strict=True) if action.kind]
        skips += [action.skip for action in actions]
    return np.array(results), np.array(skips), games.recording(0)


@pytest.mark.parametrize("name", NAMES)
def test_a_bot_plays_legally_and_by_its_seed(name):
    results, skips, record = played(name, 3)
    assert len(results) > 20
    assert (results == 1).mean() > 0.97
    assert skips.min() >= spec.MIN_SKIP
    assert played(name, 3)[2].to_bytes() == record.to_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_bot_does_not_need_what_it_cannot_see(name):
    """It meets an empty view (all lost but time) and an unknown one without an error."""
    games = match.Games("basin", (1,), max_loops=100)
    view = games.observe()[0].copy()
    player = match.bot(name)
    player.reset(1, 1, games.start(0, 1))
    for array in (view.my, view.enemy, view.neutral, view.counts, view.minimap):
        array[:] = 0
    assert player.act(view).kind == spec.NO_OP


def test_skill_is_in_the_settings():
    marine, slow = (registry.load("arena.bots", name).Config() for name in ("marine_push", "slow_push"))
    assert marine.cadence < slow.cadence
    assert marine.barracks > slow.barracks
