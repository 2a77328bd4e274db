"""Views that several tests share."""

import numpy as np
import pytest

from skyloom.arena import spec, view
from skyloom.starcraft.play import Outcome, Pairing, play_games


@pytest.fixture
def two_views() -> view.View:
    """A hall with money and four workers beside a patch; and an empty view."""
    looks = view.empty(2)
    kinds = ["CommandCenter", "SCV", "SCV", "SCV", "SCV"]
    looks.my[0, :5, spec.C_["type"]] = [spec.type_index(kind) for kind in kinds]
    looks.my[0, :5, spec.C_["tag"]] = np.arange(1, 6) << 18
    looks.my[0, :5, spec.C_["built"]] = spec.CELL
    looks.my[0, :5, spec.C_["x"]] = 20 * spec.CELL
    looks.my[0, :5, spec.C_["y"]] = 20 * spec.CELL
    looks.neutral[0, 0, spec.C_["type"]] = spec.type_index("MineralField")
    looks.neutral[0, 0, spec.C_["tag"]] = 77 << 18
    looks.counts[0] = [5, 0, 1]
    looks.scalars[0, spec.S_["minerals"]] = 400
    looks.scalars[0, spec.S_["food_cap"]] = 15
    looks.scalars[0, spec.S_["food_used"]] = 4
    looks.minimap[0, spec.P_["height_map"]] = 100
    looks.minimap[0, spec.P_["buildable"], 30:40, 30:40] = 1
    return looks


@pytest.fixture(scope="session")
def short_game() -> Outcome:
    """The first minute and a half between the two scripted players; a draw by its loop limit."""
    (outcome,) = play_games("basin", [Pairing(5, "marine_push", "slow_push")], 2_000)
    return outcome
