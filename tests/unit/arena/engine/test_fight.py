"""Movement and fighting."""

import numpy as np

from skyloom.arena import spec
from skyloom.arena.engine import layout as L
from unit.arena.scenes import ONE, Scene


def test_a_marine_walks_at_its_speed():
    scene = Scene()
    marine = scene.add("Marine", 1, 30, 50)
    scene.command(1, "move", [marine], at=(5, 50))
    scene.step(100)
    x, y = scene.place(marine)
    assert abs((30 - x) - 100 * 2.25 / 16) < 0.05
    assert abs(y - 50) < 0.01


def test_a_unit_finds_the_way_out_of_the_main_and_stands_on_its_goal():
    scene = Scene()
    scene.clear("SCV", 2)
    marine = scene.add("Marine", 1, 20, 8)
    scene.command(1, "move", [marine], at=(51.5, 46.5))
    ground = scene.map.ground_HW
    for _ in range(70):
        scene.step(8)
        x, y = scene.place(marine)
        assert ground[int(y), int(x)] & 1
    assert abs(x - 51.5) + abs(y - 46.5) < 0.5
    assert scene.s[marine + L.U_ORDERS] == 0


def test_a_unit_sent_into_a_structure_stops_at_its_wall():
    scene = Scene()
    marine = scene.add("Marine", 1, 30, 12.5)
    scene.command(1, "move", [marine], at=(12.5, 12.5))
    scene.step(600)
    x, y = scene.place(marine)
    assert 2.5 <= max(abs(x - 12.5), abs(y - 12.5)) < 4
    assert scene.s[marine + L.U_ORDERS] == 0


def test_a_crowd_spreads_out_and_comes_to_rest():
    scene = Scene()
    marines = [scene.add("Marine", 1, 40 + i % 4 * 0.1, 10 + i // 4 * 0.1) for i in range(16)]
    scene.command(1, "move", marines, at=(45.5, 14.5))
    scene.step(400)
    places = np.array([scene.place(u) for u in marines])
    gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + np.eye(16)
    assert gaps.min() > 0.6
    assert all(scene.s[u + L.U_ORDERS] == 0 for u in marines)


def test_a_marine_kills_another_in_about_its_known_time():
    scene = Scene()
    shooter, victim = scene.add("Marine", 1, 30, 50), scene.add("Marine", 2, 33, 50)
    scene.s[victim + L.U_HP] = 45 * 256
    scene.s[victim + L.U_COOLDOWN] = 10**6  # it never shoots back
    loops = 0
    while scene.s[victim] and loops < 400:
        scene.step(1)
        loops += 1
    assert 7 * 13.8 * 0.9 < loops < 7 * 13.8 * 1.2 + 8  # eight hits of 6, seven cooldowns of 13.8 loops
    assert scene.s[shooter + L.U_HP] == 45 * 256
    assert scene.get(1, L.P_KILLED) == 50
    assert scene.get(2, L.P_LOST) == 50


def test_armour_counts_and_half_a_point_gets_through():
    scene = Scene()
    marine, hall = scene.add("Marine", 1, 51.5, 45), scene.units("CommandCenter", 2)[0]
    scene.command(1, "attack_unit", [marine], target=hall)
    while scene.s[hall + L.U_HP] == 1500 * 256:
        scene.step(1)
    assert scene.s[hall + L.U_HP] == 1495 * 256


def test_both_die_when_both_shoot_in_the_same_loop():
    scene = Scene()
    first, second = scene.add("Marine", 1, 30, 50), scene.add("Marine", 2, 33, 50)
    for u in (first, second):
        scene.s[u + L.U_HP] = 256
    scene.step(12)
    assert scene.s[first] == 0
    assert scene.s[second] == 0


def test_the_dead_do_nothing_and_cannot_be_commanded():
    scene = Scene()
    marine = scene.add("Marine", 1, 30, 50)
    scene.command(1, "move", [marine], at=(20, 50))
    scene.s[marine] = 0
    before = scene.s[marine : marine + L.U_SIZE].copy()
    scene.step(50)
    assert (scene.s[marine : marine + L.U_SIZE] == before).all()
    assert scene.command(1, "move", [marine], at=(10, 50)) != 1


def test_marines_prefer_what_shoots_back_to_structures():
    scene = Scene()
    scene.clear("SCV", 2)
    shooter = scene.add("Marine", 1, 51.5, 45)  # the town hall is nearer than the enemy marine
    enemy = scene.add("Marine", 2, 45.5, 45)
    scene.command(1, "attack", [shooter], at=(51.5, 51.5))
    scene.step(8)
    assert scene.s[shooter + L.U_TARGET] == scene.tag(enemy)


def test_destroying_every_structure_wins():
    scene = Scene()
    scene.clear("SCV", 2)
    scene.add("Marine", 1, 51.5, 45)
    scene.s[scene.units("CommandCenter", 2)[0] + L.U_HP] = 256
    scene.step(60)
    assert scene.engine.winners().tolist() == [1]
    assert not len(scene.engine.waiting())


def test_both_without_structures_is_a_draw_and_so_is_the_last_loop():
    scene = Scene()
    for player in (1, 2):
        scene.s[scene.player(player) + L.P_STRUCTURES] = 0
    scene.step(1)
    assert scene.engine.winners().tolist() == [0]
    late = Scene(max_loops=25)
    late.step(100)
    assert (late.engine.winners().tolist(), late.engine.loops().tolist()) == ([0], [25])


def test_nobody_commands_the_enemys_units():
    scene = Scene()
    theirs = scene.units("SCV", 2)
    assert scene.command(1, "move", theirs, at=(30, 30)) != 1
    assert scene.command(1, "attack", scene.units("SCV", 1), at=(64.5, 3)) != 1
    assert spec.CELL == ONE
