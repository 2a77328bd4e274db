"""The state row: blocks do not overlap, and observation and spec count alike."""

from skyloom.arena import spec
from skyloom.arena.engine import layout as L
from skyloom.arena.engine import observe


def test_blocks_follow_one_another():
    assert L.H_SIZE < L.PLAYER0
    assert L.PLAYER0 + 2 * L.P_SIZE == L.UNIT0
    assert L.UNIT0 + L.SLOTS * L.U_SIZE == L.MEMORY0
    assert L.MEMORY0 + 2 * L.SLOTS * L.K_SIZE == L.GRID0
    assert L.state_size(64, 64) == L.GRID0 + 5 * 64 * 2


def test_arrays_within_a_unit_have_room():
    assert L.U_WAY_X - L.U_QUEUE == L.QUEUE
    assert L.U_SIZE - L.U_ORDER == L.ORDERS * L.ORDER_SIZE


def test_tags_fit_int32():
    assert (L.SLOTS << L.TAG_SHIFT) < 2**31


def test_fields_name_every_offset():
    assert L.FIELDS["U_HP"] == L.U_HP
    assert len({name for name in L.FIELDS if name.startswith("P_")}) == L.P_SIZE + 1


def test_observe_counts_columns_and_rows_as_the_spec_does():
    names = {name[2:].lower(): value for name, value in vars(observe).items() if name.startswith("C_")}
    assert names == spec.C_
    assert (observe.MY, observe.ENEMY, observe.OTHERS) == (spec.MY_UNITS, spec.ENEMY_UNITS, spec.NEUTRAL_UNITS)
