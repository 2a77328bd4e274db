"""Recordings: there and back, damage, and games that do not come out as recorded."""

import dataclasses

import pytest

from skyloom.arena import command, match, recording
from skyloom.arena.recording import BadRecording


@pytest.fixture(scope="module")
def game():
    return match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=4, max_loops=1500)


def test_bytes_come_back_whole(game):
    again = recording.from_bytes(game.to_bytes())
    assert again.to_bytes() == game.to_bytes()
    assert (again.seed, again.players, again.winner, again.loops) == (4, ("marine_push", "slow_push"), 0, 1500)
    assert list(again.commands()) == list(game.commands())


def test_replay_visits_every_decision_with_the_action_that_was_taken(game):
    seen = []
    recording.replay(game, lambda player, view, action: seen.append((player, command.encode(view, action))))
    assert seen == [(player, each) for _, player, each in game.commands()]


@pytest.mark.parametrize("cut", [0, 3, 10, 21, 200, -1])
def test_damage_is_named(game, cut):
    data = game.to_bytes()
    with pytest.raises(BadRecording):
        recording.from_bytes(data[:cut])
    changed = bytearray(data)
    changed[cut] ^= 1
    with pytest.raises(ValueError) as error:
        recording.from_bytes(bytes(changed))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 5}, "does not come out"),
        ({"final_hash": "0" * 32}, "does not come out"),
        ({"ruleset": "terran_opening-00000000"}, "ruleset"),
        ({"map": "basin-00000000"}, "map"),
        ({"max_loops": 1400}, "does not come out"),
    ],
)
def test_a_game_that_comes_out_differently_is_refused(game, change, word):
    changed = dataclasses.replace(game, **change)
    with pytest.raises(BadRecording, match=word):
        recording.replay(changed)


def test_a_recording_of_an_unknown_map_names_the_known(game):
    with pytest.raises(ValueError, match="basin"):
        recording.replay(dataclasses.replace(game, map="nowhere-12345678"))
