"""Matches: determinism, conservation, the two bots, many games at once."""

import numpy as np
import pytest

from skyloom.arena import match, recording, spec
from skyloom.core.errors import BadInput


class Idle:
    """Does nothing, slowly."""

    def reset(self, seed, player_id, start):
        self.start = start

    def act(self, view):
        return spec.Action(skip=128)


@pytest.fixture(scope="module")
def game():
    return match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=11)


def test_one_seed_one_game(game):
    again = match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=11)
    assert again.to_bytes() == game.to_bytes()
    other = match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=12)
    assert other.final_hash != game.final_hash


def test_the_better_bot_wins_from_both_places_and_soon():
    loops = []
    for seed in range(20, 26):
        pair = ["marine_push", "slow_push"][:: 1 if seed % 2 else -1]
        played = match.play("basin", [match.bot(name) for name in pair], seed=seed)
        assert played.players == tuple(pair)
        assert pair[played.winner - 1] == "marine_push"
        loops.append(played.loops)
    assert np.mean(loops) < 8000


def test_books_balance_at_every_decision(game):
    def visit(player, view, action):
        spent = view.scalar("minerals") - 50 - view.scalar("mined")
        assert view.scalar("minerals") >= 0
        assert spent <= 0
        assert view.scalar("food_used") >= 0
        assert view.scalar("food_army") + view.scalar("food_workers") == view.scalar("food_used")
        mine = view.my[: view.counts[0]]
        assert (mine[:, spec.C_["hp"]] > 0).all()
        assert (mine[:, spec.C_["tag"]] > 0).all()
        assert not view.my[view.counts[0] :].any()

    recording.replay(game, visit)


def test_nothing_is_a_draw_at_the_last_loop():
    played = match.play("basin", [Idle(), Idle()], seed=1, max_loops=300)
    assert (played.winner, played.loops, played.players) == (0, 300, ("Idle", "Idle"))


def test_players_learn_where_they_are():
    idle = Idle(), Idle()
    match.play("basin", idle, seed=1, max_loops=10)
    assert idle[0].start.own == idle[1].start.enemy
    own, first = np.array(idle[0].start.own), np.array(idle[0].start.expansions[0])
    assert np.abs(own - first).max() < 30 * spec.CELL


def run(games, bots):
    """Play a batch with its bots to the end."""
    for (game, player), each in bots.items():
        each.reset(1000 * game + player, player, games.start(game, player))
    while len(games.waiting):
        views = games.observe()
        pairs = [tuple(pair) for pair in games.waiting.tolist()]
        games.act([bots[pair].act(views[k]) for k, pair in enumerate(pairs)])


def test_a_batch_plays_the_same_games_as_one_by_one():
    bots = {(game, player): match.bot("marine_push") for game in range(3) for player in (1, 2)}
    batch = match.Games("basin", (5, 6, 7), max_loops=1500)
    run(batch, bots)
    for game, seed in enumerate((5, 6, 7)):
        single = match.Games("basin", (seed,), max_loops=1500)
        for (_, player), each in ((key, bot) for key, bot in bots.items() if key[0] == game):
            each.reset(1000 * game + player, player, single.start(0, player))
        while len(single.waiting):
            views = single.observe()
            single.act([bots[game, player].act(views[k]) for k, (_, player) in enumerate(single.waiting.tolist())])
        assert single.hash(0) == batch.hash(game)
        assert batch.recording(game).to_bytes() == single.recording(0).to_bytes()


def test_a_place_can_be_used_again():
    games = match.Games("basin", (1, 2), max_loops=100)
    while len(games.waiting):
        games.act([spec.Action(skip=50)] * len(games.waiting))
    assert games.winners.tolist() == [0, 0]
    games.restart(1, 3)
    assert games.waiting.tolist() == [[1, 1], [1, 2]]
    with pytest.raises(BadInput, match="not over"):
        games.recording(1)


def test_mistakes_are_named():
    with pytest.raises(BadInput, match="known: basin"):
        match.Games("basil", (1,))
    with pytest.raises(BadInput, match="marine_push"):
        match.bot("marine_pull")
    with pytest.raises(BadInput, match="2 decisions"):
        match.Games("basin", (1,)).act([spec.Action()])
    with pytest.raises(BadInput, match="two players"):
        match.play("basin", [Idle()], seed=1)
