"""Mining, building, training: rates and times against measured and published values."""

import dataclasses

import numpy as np
import pytest

from skyloom.arena import spec
from skyloom.arena.engine import layout as L
from skyloom.arena.engine.rules import E
from skyloom.arena.engine.state import Engine
from skyloom.arena.game_map import load_map
from unit.arena.scenes import Scene

SUCCESS, QUEUE_FULL, NO_MINERALS, NO_FOOD, NO_TECH, BAD_PLACE, NEAR_RESOURCE = 1, 7, 9, 13, 40, 44, 47


def mined_a_worker(workers: int) -> float:
    """Minerals a worker and 1,000 loops, after 500 loops to settle."""
    economy = spec.RULES.economy_E.copy()
    economy[E.START_WORKERS] = workers
    game_map = load_map("basin")
    engine = Engine(dataclasses.replace(spec.RULES, economy_E=economy), game_map.ground_HW, 1)
    engine.start(0, game_map.placements(swapped=False), 3, 100_000)
    marks = []
    for loops in (500, 3000):
        engine.wait(0, 1, loops)
        engine.wait(0, 2, loops)
        engine.advance()
        marks.append(int(engine.states_NS[0, L.PLAYER0 + L.P_MINED]))
    return (marks[1] - marks[0]) / workers / 3


@pytest.mark.parametrize("workers", [12, 14, 16])
def test_income_is_within_a_tenth_of_the_measured_rate(workers):
    assert mined_a_worker(workers) == pytest.approx(40, rel=0.10)


def test_a_third_worker_on_a_patch_adds_little():
    assert 16 * mined_a_worker(16) < 24 * mined_a_worker(24) < 1.25 * 16 * mined_a_worker(16)


def test_minerals_are_conserved_down_to_the_patches():
    scene = Scene()
    patches = [u for kind in ("MineralField", "MineralField750") for u in scene.units(kind, L.NEUTRAL)]
    before = sum(int(scene.s[u + L.U_CONTENTS]) for u in patches)
    scene.step(1500)
    taken = before - sum(int(scene.s[u + L.U_CONTENTS]) for u in patches)
    carried = sum(int(scene.s[u + L.U_CARGO]) for p in (1, 2) for u in scene.units("SCV", p))
    assert taken == sum(scene.get(p, L.P_MINED) for p in (1, 2)) + carried
    assert scene.get(1, L.P_MINERALS) == 50 + scene.get(1, L.P_MINED)


def test_an_empty_patch_goes_and_its_miners_move_on():
    scene = Scene()
    worker = scene.units("SCV", 1)[0]
    patch = (int(scene.s[worker + L.U_PATCH]) >> L.TAG_SHIFT) * L.U_SIZE + L.UNIT0
    scene.s[patch + L.U_CONTENTS] = 3
    scene.step(400)
    assert scene.s[patch] == 0
    assert int(scene.s[worker + L.U_PATCH]) >> L.TAG_SHIFT != (patch - L.UNIT0) // L.U_SIZE
    assert scene.s[worker + L.U_ORDERS] == 1


def test_an_scv_takes_272_loops_and_a_marine_400():
    scene = Scene()
    scene.add("Barracks", 1, 20.5, 20.5)
    scene.give(1, 1000)
    for name, producer, loops in (("train_scv", "CommandCenter", 272), ("train_marine", "Barracks", 400)):
        kind = {"train_scv": "SCV", "train_marine": "Marine"}[name]
        before = len(scene.units(kind, 1))
        assert scene.command(1, name, scene.units(producer, 1)) == SUCCESS
        scene.step(loops - 1)
        assert len(scene.units(kind, 1)) == before
        scene.step(1)
        assert len(scene.units(kind, 1)) == before + 1


def test_the_queue_holds_five_and_is_paid_at_once():
    scene = Scene()
    scene.give(1, 1000)
    scene.s[scene.player(1) + L.P_FOOD_CAP] = 50
    hall = scene.units("CommandCenter", 1)
    assert [scene.command(1, "train_scv", hall) for _ in range(6)] == [SUCCESS] * 5 + [QUEUE_FULL]
    assert scene.get(1, L.P_MINERALS) == 1050 - 250


def test_supply_blocks():
    scene = Scene()
    scene.give(1, 1000)
    hall = scene.units("CommandCenter", 1)
    for _ in range(4):
        scene.command(1, "train_scv", hall)
    scene.step(5 * 272)
    assert scene.get(1, L.P_FOOD_USED) == scene.get(1, L.P_FOOD_CAP) == 15
    assert len(scene.units("SCV", 1)) == 15
    assert scene.command(1, "train_scv", hall) == NO_FOOD


def test_minerals_and_technology_are_needed():
    scene = Scene()
    workers = scene.units("SCV", 1)
    assert scene.command(1, "build_supply_depot", workers[:1], at=(20, 20)) == NO_MINERALS
    scene.give(1, 1000)
    assert scene.command(1, "build_barracks", workers[:1], at=(20, 20)) == NO_TECH


def test_a_depot_takes_480_loops_binds_its_builder_and_gives_supply():
    scene = Scene()
    scene.give(1, 100)
    worker = scene.units("SCV", 1)[0]
    assert scene.command(1, "build_supply_depot", [worker], at=(20.5, 20.5)) == SUCCESS
    assert scene.get(1, L.P_SPENT) == 0
    while not scene.units("SupplyDepot", 1):
        scene.step(1)
    assert scene.get(1, L.P_SPENT) == 100
    (depot,) = scene.units("SupplyDepot", 1)
    assert scene.s[depot + L.U_HP] == 40 * 256
    assert scene.command(1, "move", [worker], at=(30, 30)) != SUCCESS
    scene.step(479)
    assert scene.get(1, L.P_FOOD_CAP) == 15
    scene.step(1)
    assert scene.get(1, L.P_FOOD_CAP) == 23
    assert scene.s[depot + L.U_HP] == 400 * 256
    assert scene.s[worker + L.U_ORDERS] == 0


def test_a_site_without_its_builder_waits_until_another_comes():
    scene = Scene()
    scene.give(1, 100)
    first, second = scene.units("SCV", 1)[:2]
    scene.command(1, "build_supply_depot", [first], at=(20.5, 20.5))
    while not scene.units("SupplyDepot", 1):
        scene.step(1)
    (depot,) = scene.units("SupplyDepot", 1)
    assert scene.command(1, "resume_construction", [second], target=depot) != SUCCESS
    scene.s[first] = 0
    scene.step(100)
    assert scene.s[depot + L.U_BUILT] == 0
    assert scene.command(1, "resume_construction", [second], target=depot) == SUCCESS
    scene.step(700)
    assert scene.get(1, L.P_FOOD_CAP) == 23


def test_places_for_structures():
    scene = Scene()
    scene.give(1, 5000)
    workers = scene.units("SCV", 1)
    assert scene.command(1, "build_supply_depot", workers, at=(12.5, 12.5)) == BAD_PLACE  # on the town hall
    assert scene.command(1, "build_supply_depot", workers, at=(1.5, 20.5)) == BAD_PLACE  # on a cliff
    assert scene.command(1, "build_command_center", workers, at=(11.5, 37.5)) == NEAR_RESOURCE
    assert scene.command(1, "build_command_center", workers, at=(12.5, 37.5)) == SUCCESS


def test_workers_rallied_to_a_patch_mine_by_themselves():
    scene = Scene()
    hall = scene.units("CommandCenter", 1)
    patch = scene.units("MineralField", L.NEUTRAL)[0]
    assert scene.command(1, "rally_workers", hall, target=patch) == SUCCESS
    assert scene.command(1, "train_scv", hall) == SUCCESS
    scene.step(400)
    newest = max(scene.units("SCV", 1))
    assert scene.s[newest + L.U_PHASE] > 0
    assert not np.any(scene.s[newest + L.U_ORDERS] == 0)
