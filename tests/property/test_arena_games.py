"""Random legal play: what the masks allow the game accepts, and the state stays sound; random bytes are no recording."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyloom.arena import match, recording, spec
from skyloom.arena.engine import layout as L
from skyloom.arena.engine.rules import Op, Target
from skyloom.arena.view import masks, position_mask

SHORT = match.play("basin", [match.bot("slow_push"), match.bot("slow_push")], seed=1, max_loops=200).to_bytes()


def random_action(view, rng):
    """A legal action drawn evenly over kinds."""
    found = masks(view)
    kind = int(rng.choice(np.flatnonzero(found.kinds)))
    place, target = -1, -1
    if spec.ACTIONS[kind].target == Target.POSITION:
        fits = np.flatnonzero(position_mask(view, kind))
        if not len(fits):
            return spec.Action(skip=4)
        place = int(rng.choice(fits))
    if spec.ACTIONS[kind].target == Target.UNIT:
        target = int(rng.choice(np.flatnonzero(found.targets[kind])))
    who = np.flatnonzero(found.units[kind])
    units = tuple(rng.permutation(who)[: rng.integers(1, 9)].tolist()) if len(who) else ()
    return spec.Action(kind=kind, units=units, position=place, target=target, skip=int(rng.integers(2, 40)))


def is_sound(state):
    """What holds in every state."""
    slots = [L.unit(slot) for slot in range(int(state[L.H_SLOTS]))]
    alive = [u for u in slots if state[u]]
    assert all(state[u + L.U_HP] > 0 for u in alive)
    for p in range(2):
        b = L.PLAYER0 + p * L.P_SIZE
        assert state[b + L.P_MINERALS] == 50 + state[b + L.P_MINED] - state[b + L.P_SPENT] + state[b + 1] * 0
        assert state[b + L.P_MINERALS] >= 0
        mine = [u for u in alive if state[u + L.U_OWNER] == p + 1]
        food = sum(int(spec.RULES.units_TC[state[u], 4]) + int(state[u + L.U_MAKING] > 0) for u in mine)
        assert state[b + L.P_FOOD_USED] == food
        assert state[b + L.P_STRUCTURES] == sum(spec.TYPES[state[u]].size > 0 for u in mine)


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32), rich=st.booleans())
def test_what_the_masks_allow_the_game_accepts(seed, rich):
    games = match.Games("basin", (seed,), max_loops=1500)
    rng = np.random.default_rng(seed)
    if rich:  # enough to reach every kind of action
        for p in range(2):
            for field in (L.P_MINERALS, L.P_MINED):
                games._engine.states_NS[0, L.PLAYER0 + p * L.P_SIZE + field] += 2000
    while len(games.waiting):
        views = games.observe()
        actions = [random_action(views[k], rng) for k in range(len(views))]
        results = games.act(actions)
        for action, result in zip(actions, results.tolist(), strict=True):
            assert result == 1, (spec.ACTIONS[action.kind].name, result)
        is_sound(games.save(0))
    assert recording.from_bytes(games.recording(0).to_bytes()).final_hash == games.hash(0)


@settings(max_examples=300)
@given(data=st.binary(max_size=400))
@example(b"")
@example(b"SKYR")
@example(b"SKYR\x01" + bytes(16))
def test_random_bytes_are_refused_in_one_line(data):
    with pytest.raises(ValueError) as error:
        recording.from_bytes(data)
    assert "\n" not in str(error.value)


@settings(max_examples=200)
@given(place=st.integers(0, len(SHORT) - 1), value=st.integers(1, 255), cut=st.integers(0, len(SHORT) - 1))
def test_a_changed_or_cut_recording_is_refused(place, value, cut):
    changed = bytearray(SHORT)
    changed[place] ^= value
    for data in (bytes(changed), SHORT[:cut]):
        with pytest.raises(ValueError):
            recording.from_bytes(data)


@settings(max_examples=150)
@given(content=st.binary(max_size=300))
def test_well_packed_nonsense_is_refused(content):
    import hashlib
    import zlib

    packed = zlib.compress(content)
    data = b"SKYR\x01" + hashlib.blake2b(packed, digest_size=16).digest() + packed
    with pytest.raises(ValueError) as error:
        recording.from_bytes(data)
    assert "\n" not in str(error.value)


def test_op_names_cover_the_ability_table():
    assert {Op(int(row[1])) for row in spec.RULES.abilities_AC} == set(Op)
