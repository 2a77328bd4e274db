"""Many games at once: what runs beside a game does not change it."""

from skyloom.arena import match, recording
from skyloom.starcraft.play import Outcome, Pairing, play_games, play_pair
from skyloom.starcraft.policies import IdlePolicy, RandomPolicy


def test_a_game_does_not_depend_on_its_neighbours():
    random = RandomPolicy()
    pairings = [Pairing(1, random, "slow_push"), Pairing(2, "marine_push", IdlePolicy()), Pairing(3, random, random)]
    together = list(play_games("basin", pairings, 500))
    alone = [next(play_games("basin", [pairing], 500)) for pairing in pairings]
    narrow = list(play_games("basin", pairings, 500, width=2))
    assert [each.recording.to_bytes() for each in together] == [each.recording.to_bytes() for each in alone]
    assert [each.recording.to_bytes() for each in together] == [each.recording.to_bytes() for each in narrow]


def test_scripted_games_equal_those_of_match_play(short_game: Outcome):
    record = match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], 5, 2_000)
    assert record.to_bytes() == short_game.recording.to_bytes()


def test_actions_and_buildings_are_counted(short_game: Outcome):
    acted = [0, 0]

    def count(player: int, look: object, action: recording.spec.Action) -> None:
        acted[player - 1] += action.kind != 0

    recording.replay(short_game.recording, count)
    assert short_game.actions == tuple(acted)
    assert short_game.built[0]["SCV"] >= 12
    assert short_game.built[0]["CommandCenter"] == 1


def test_a_pair_swaps_sides_and_counts_from_the_seed():
    played = play_pair("basin", "marine_push", "slow_push", 4, 9, 100)
    assert [pairing.first for pairing, _ in played] == ["marine_push", "slow_push"] * 2
    again = play_pair("basin", "marine_push", "slow_push", 4, 9, 100)
    assert [o.recording.to_bytes() for _, o in played] == [o.recording.to_bytes() for _, o in again]
