"""The numbers of the game against known values (fact base: sc2-techtree; loops, hit points, costs)."""

import numpy as np
import pytest

from skyloom.arena.engine.rules import FINE, ONE, A, E, T, load_rules

RULES = load_rules()
# id, minerals, supply, build loops, hp, armour, sight
KNOWN = {
    "SCV": (45, 50, 1, 272, 45, 0, 8),
    "Marine": (48, 50, 1, 400, 45, 0, 9),
    "CommandCenter": (18, 400, 0, 1600, 1500, 1, 11),
    "SupplyDepot": (19, 100, 0, 480, 400, 1, 9),
    "Barracks": (21, 150, 0, 1040, 1000, 1, 9),
}


@pytest.mark.parametrize("name", KNOWN)
def test_units_have_their_known_numbers(name):
    row = RULES.units_TC[RULES.unit(name)]
    found = (
        row[T.ID],
        row[T.MINERALS],
        row[T.FOOD],
        row[T.BUILD],
        row[T.HP] / FINE,
        row[T.ARMOUR] / FINE,
        row[T.SIGHT],
    )
    assert found == KNOWN[name]


def test_speeds_ranges_and_cooldowns_are_in_loops_and_cells():
    scv, marine = (RULES.units_TC[RULES.unit(name)] for name in ("SCV", "Marine"))
    assert scv[T.SPEED] == round(2.8125 / 16 * ONE)
    assert marine[T.SPEED] == 2.25 / 16 * ONE
    assert marine[T.RANGE] == 5 * ONE
    assert marine[T.DAMAGE] == 6 * FINE
    assert marine[T.PERIOD] == round(0.861 * 16 * FINE)


def test_supply_requirements_and_economy():
    units = RULES.units_TC
    assert units[RULES.unit("CommandCenter"), T.PROVIDES] == 15
    assert units[RULES.unit("SupplyDepot"), T.PROVIDES] == 8
    assert units[RULES.unit("Barracks"), T.NEEDS] == RULES.unit("SupplyDepot")
    assert units[RULES.unit("MineralField"), T.CONTENTS] == 1800
    assert units[RULES.unit("MineralField750"), T.CONTENTS] == 900
    assert RULES.economy_E[E.START_MINERALS] == 50
    assert RULES.economy_E[E.START_WORKERS] == 12


def test_ability_ids_are_the_games_own():
    ids = {name: int(row[A.ID]) for name, row in zip(RULES.ability_names, RULES.abilities_AC, strict=True)}
    expected = {"stop": 4, "move": 16, "attack": 23, "harvest": 295, "harvest_return": 296, "build_supply_depot": 319}
    assert {name: ids[name] for name in expected} == expected
    assert (ids["build_barracks"], ids["train_scv"], ids["train_marine"]) == (321, 524, 560)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match="Marine"):
        RULES.unit("Marin")
    with pytest.raises(KeyError, match="train_scv"):
        RULES.ability("train")
    with pytest.raises(KeyError, match="terran_opening"):
        load_rules("zerg")


def test_tables_cannot_be_changed_and_carry_a_stable_id():
    assert not RULES.units_TC.flags.writeable
    assert RULES.ruleset.startswith("terran_opening-")
    assert np.issubdtype(RULES.units_TC.dtype, np.int64)
