"""Actions and commands: there and back, and what is refused."""

import numpy as np
import pytest

from skyloom.arena import spec
from skyloom.arena.command import decode, encode
from skyloom.core.errors import BadInput
from unit.arena.scenes import Scene


def test_actions_come_back_from_their_commands():
    view = Scene().view(1)
    for action in (
        spec.Action(skip=128),
        spec.Action(kind=spec.action_index("stop"), units=(3, 1), skip=2),
        spec.Action(kind=spec.action_index("attack"), units=(1, 2), position=63 * 64 + 5, queued=True, skip=9),
        spec.Action(kind=spec.action_index("harvest"), units=(4,), target=spec.NEUTRAL_START + 7, skip=22),
    ):
        assert decode(view, encode(view, action)) == action


def test_a_command_speaks_of_tags_ids_and_map_positions():
    view = Scene().view(1)
    command = encode(view, spec.Action(kind=spec.action_index("attack"), units=(2,), position=10 * 64 + 20))
    assert (command.ability, command.x, command.y) == (23, 20.5 * spec.CELL, 10.5 * spec.CELL)
    assert command.units == (int(view.my[2, spec.C_["tag"]]),)
    assert command.row().dtype == np.int32


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (spec.Action(kind=99), "kind"),
        (spec.Action(skip=1), "skip"),
        (spec.Action(skip=129), "skip"),
        (spec.Action(kind=2, units=(1,)), "position"),
        (spec.Action(kind=2, position=5), "units"),
        (spec.Action(kind=2, units=(200,), position=5), "distinct rows"),
        (spec.Action(kind=2, units=(1, 1), position=5), "distinct rows"),
        (spec.Action(kind=5, units=(1,), target=100), "target row"),
    ],
)
def test_actions_that_do_not_fit_the_view_are_refused(action, word):
    with pytest.raises(BadInput, match=word):
        encode(Scene().view(1), action)


def test_names_are_looked_up_with_the_known_ones_in_the_error():
    with pytest.raises(BadInput, match="train_marine"):
        spec.action_index("train_marin")
    assert spec.SKIPS[spec.skip_class(10)] == 11
    assert spec.SKIPS[spec.skip_class(1000)] == 128
