"""Integers to tensors: scales, cuts, counts and the way back of target rows."""

import numpy as np
import pytest
import torch

from skyloom.arena import spec, view
from skyloom.starcraft.agent.features import GRID, cut_target, cut_targets, full_target, observe, set_sizes


def looks(my: int = 3, enemy: int = 2, neutral: int = 4) -> view.View:
    found = view.empty(2)
    rng = np.random.default_rng(0)
    for rows, count in ((found.my, my), (found.enemy, enemy), (found.neutral, neutral)):
        rows[0, :count] = rng.integers(0, 1000, size=(count, rows.shape[2]))
        rows[0, :count, spec.C_["type"]] = 1 + np.arange(count) % (spec.N_TYPES - 1)
        rows[0, :count, spec.C_["order"]] = 0
    found.counts[0] = [my, enemy, neutral]
    return found


def legal() -> np.ndarray:
    return np.ones((2, spec.N_ACTIONS), dtype=np.bool_)


def test_sets_are_cut_to_the_fullest_view_and_never_to_nothing():
    seen = observe(looks(enemy=0), legal())
    assert set_sizes(seen) == (3, 1, 4)
    assert seen.my.used_BU.tolist() == [[True] * 3, [False] * 3]


def test_numbers_are_divided_by_their_scales():
    found = looks()
    found.scalars[0, spec.S_["minerals"]] = 256
    found.my[0, 0, spec.C_["hp"]] = 512 * 256
    seen = observe(found, legal())
    assert seen.scalars_BS[0, spec.S_["minerals"]] == pytest.approx(256 / 512)
    numbers = [i for i, c in enumerate(spec.COLUMNS) if c.name not in ("tag", "type", "order", "goal_tag")]
    assert seen.my.numbers_BUF[0, 0, numbers.index(spec.C_["hp"])] == pytest.approx(1.0)


def test_unit_counts_by_type_stand_in_the_scalars():
    found = view.empty(1)
    found.my[0, :5, spec.C_["type"]] = [2, 2, 2, 1, 3]
    found.counts[0] = [5, 0, 0]
    seen = observe(found, legal()[:1])
    first = len(spec.SCALARS) + spec.N_ACTIONS
    counts = seen.scalars_BS[0, first : first + spec.N_TYPES]
    assert counts[:4].tolist() == pytest.approx(np.log1p([0, 1, 3, 1]).tolist())


def test_own_units_are_counted_by_what_they_do():
    found = view.empty(1)
    found.my[0, :4, spec.C_["type"]] = [2, 2, 2, 5]
    found.my[0, :4, spec.C_["built"]] = [spec.CELL, spec.CELL, 10, spec.CELL]
    found.my[0, :4, spec.C_["order"]] = [0, 3, 3, 0]
    found.my[0, :4, spec.C_["queue"]] = [0, 0, 0, 4]
    found.counts[0] = [4, 0, 0]
    first = len(spec.SCALARS) + spec.N_ACTIONS + 3 * spec.N_TYPES
    counts = torch.expm1(observe(found, legal()[:1]).scalars_BS[0, first:]).numpy()
    unfinished, idle, queued = (counts[k * spec.N_TYPES : (k + 1) * spec.N_TYPES] for k in range(3))
    assert [unfinished[2], unfinished.sum()] == pytest.approx([1, 1])
    assert [idle[2], idle[5], idle.sum()] == pytest.approx([1, 1, 2])
    assert [queued[5], queued.sum()] == pytest.approx([4, 4])
    assert counts[3 * spec.N_TYPES :][[0, 3]].tolist() == pytest.approx([2, 2])


def test_cells_of_the_coarse_map_are_row_major_and_clipped():
    found = view.empty(1)
    found.my[0, :2, spec.C_["type"]] = 1
    found.my[0, :2, spec.C_["x"]] = [5 * spec.CELL, 64 * spec.CELL]
    found.my[0, :2, spec.C_["y"]] = [9 * spec.CELL, 0]
    found.counts[0] = [2, 0, 0]
    cells = observe(found, legal()[:1]).my.cells_BU
    assert cells.tolist() == [[2 * GRID + 1, GRID - 1]]


def test_target_rows_survive_the_cut_and_come_back():
    sizes = (3, 2, 4)
    rows = [0, 2, spec.ENEMY_START, spec.ENEMY_START + 1, spec.NEUTRAL_START, spec.NEUTRAL_START + 3]
    cut = [cut_target(row, sizes) for row in rows]
    assert cut == [0, 2, 3, 4, 5, 8]
    assert [full_target(each, sizes) for each in cut] == rows
    assert cut_target(-1, sizes) == -1
    mask = np.zeros((1, spec.TARGETS), dtype=np.bool_)
    mask[0, rows] = True
    assert np.flatnonzero(cut_targets(mask, sizes)[0]).tolist() == cut


def test_unused_rows_are_zero():
    seen = observe(looks(), legal())
    assert not seen.my.numbers_BUF[1].any()
    assert torch.equal(seen.my.types_BU[1], torch.zeros(3, dtype=torch.int64))
