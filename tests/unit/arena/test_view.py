"""The fogged view and the masks that follow from it."""

import numpy as np

from skyloom.arena import spec
from skyloom.arena.engine import layout as L
from skyloom.arena.view import Window, masks, position_mask
from unit.arena.scenes import Scene

C = spec.C_


def tags(rows):
    return set(rows[:, C["tag"]].tolist()) - {0}


def test_the_first_view_is_the_games_first_frame():
    view = Scene().view(1)
    assert (view.scalar("minerals"), view.scalar("food_used"), view.scalar("food_cap")) == (50, 12, 15)
    assert view.counts.tolist() == [13, 0, 40]
    harvest = spec.action_index("harvest")
    kinds = view.my[:13, C["type"]]
    assert (view.my[:13][kinds == spec.type_index("SCV")][:, C["order"]] == harvest).all()
    hall = view.my[:13][kinds == spec.type_index("CommandCenter")][0]
    assert (hall[C["assigned"]], hall[C["ideal"]]) == (12, 16)


def test_resources_out_of_sight_are_snapshots_without_contents():
    view = Scene().view(1)
    rows = view.neutral[: view.counts[2]]
    far = rows[:, C["x"]] > 32 * spec.CELL
    assert (rows[far][:, C["display"]] == 2).all()
    assert (rows[far][:, C["contents"]] == 0).all()
    near = rows[(rows[:, C["x"]] < 20 * spec.CELL) & (rows[:, C["y"]] < 20 * spec.CELL)]
    assert set(near[:, C["contents"]].tolist()) == {900, 1800, 2250}


def test_an_enemy_is_seen_only_within_sight():
    scene = Scene()
    scene.add("Marine", 1, 30.5, 50.5)
    near, far = scene.add("Marine", 2, 38.5, 58.5), scene.add("Marine", 2, 30.5, 40.5)
    scene.s[near + L.U_X] = int(37.5 * spec.CELL)
    scene.s[near + L.U_Y] = int(50.5 * spec.CELL)
    for u in (near, far):
        scene.s[u + L.U_COOLDOWN] = 10**6
    scene.step(4)
    view = scene.view(1)
    assert tags(view.enemy) == {scene.tag(near)}
    assert view.minimap[spec.P_["visibility_map"], 40, 30] == 0
    assert view.minimap[spec.P_["player_relative"], 40, 30] == 0
    assert view.minimap[spec.P_["player_relative"], 50, 37] == 4


def test_every_enemy_in_a_view_stands_in_a_visible_cell_or_is_a_snapshot():
    scene = Scene()
    rng = np.random.default_rng(0)
    for _ in range(40):
        scene.add("Marine", int(rng.integers(1, 3)), *rng.uniform(4, 60, size=2))
    for _ in range(10):
        scene.step(16)
        for player in (1, 2):
            view = scene.view(player)
            for row in view.enemy[: view.counts[1]]:
                x, y = row[C["x"]] // spec.CELL, row[C["y"]] // spec.CELL
                structure = spec.TYPES[row[C["type"]]].size > 0
                assert structure or view.minimap[spec.P_["visibility_map"], y, x] == 2


def test_structures_are_remembered_until_they_are_seen_to_be_gone():
    scene = Scene()
    scout = scene.add("Marine", 1, 51.5, 44.5)
    scene.s[scout + L.U_COOLDOWN] = 10**6
    hall = scene.units("CommandCenter", 2)[0]
    scene.step(4)
    seen = scene.view(1)
    row = seen.enemy[seen.enemy[:, C["tag"]] == scene.tag(hall)][0]
    assert (row[C["display"]], row[C["hp"]]) == (1, 1500 * 256)
    scene.s[scout + L.U_X] = scene.s[scout + L.U_Y] = 30 * spec.CELL
    scene.step(4)
    row = scene.view(1).enemy[0]
    assert (row[C["tag"]], row[C["display"]], row[C["hp"]]) == (scene.tag(hall), 2, 0)
    scene.s[hall] = 0  # it is gone, and nobody sees it
    scene.step(4)
    assert tags(scene.view(1).enemy) == {scene.tag(hall)}
    scene.s[scout + L.U_X], scene.s[scout + L.U_Y] = int(51.5 * spec.CELL), int(44.5 * spec.CELL)
    scene.step(4)
    assert scene.tag(hall) not in tags(scene.view(1).enemy)


def test_a_players_own_plans_are_hidden_from_the_other():
    scene = Scene()
    spy = scene.add("Marine", 2, 12.5, 18.5)
    scene.s[spy + L.U_COOLDOWN] = 10**6
    scene.step(4)
    view = scene.view(2)
    worker = view.enemy[view.enemy[:, C["type"]] == spec.type_index("SCV")][0]
    assert not worker[[C["order"], C["goal_x"], C["goal_tag"], C["busy"], C["cooldown"]]].any()


def test_masks_need_money_supply_and_technology():
    scene = Scene()
    found = masks(scene.view(1))
    can = {kind.name for kind in spec.ACTIONS if found.kinds[kind.index]}
    assert {"no_op", "stop", "move", "harvest", "train_scv", "rally", "rally_workers"} <= can
    assert not can & {"build_supply_depot", "build_barracks", "train_marine", "attack_unit", "resume_construction"}
    scene.give(1, 1000)
    assert masks(scene.view(1)).kinds[spec.action_index("build_supply_depot")]
    assert not masks(scene.view(1)).kinds[spec.action_index("build_barracks")]


def test_masks_of_a_batch_are_those_of_its_views():
    scene = Scene()
    scene.give(1, 400)
    scene.step(50)
    both = Window(2).observe(scene.engine, np.array([[0, 1], [0, 2]], dtype=np.int32))
    whole = masks(both)
    for k in range(2):
        for batched, single in zip(whole, masks(both[k]), strict=True):
            assert (batched[k] == single).all()


def test_position_mask_of_a_structure_is_its_whole_footprint():
    scene = Scene()
    mask = position_mask(scene.view(1), spec.action_index("build_supply_depot"))
    assert not mask[12, 12]  # on the town hall
    assert not mask[12, 9]  # one of its four cells would stand on it
    assert mask[12, 8]
    assert not mask[2, 1]
    hall = position_mask(scene.view(1), spec.action_index("build_command_center"))
    assert hall[37, 12]
    assert not hall[37, 11]
