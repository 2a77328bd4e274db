"""k-center's laws: it is the plain loop, and no k points cover twice as well."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skyloom.core.text import kcenter
from skyloom.core.text.kcenter import GRID, k_center, nearest

# Few values, so that ties and copies abound; 9 x 0.3^2 stays below 1.
VALUES = st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.25, 0.3])
POINTS = arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 9)), elements=VALUES)
FEW = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=VALUES)


def plain(points, k):
    grid = np.rint(points.astype(np.float64) * GRID)
    square = np.full(len(grid), np.inf)
    picks = []
    for _ in range(k):
        picks.append(int(square.argmax()))
        square = np.minimum(square, ((grid - grid[picks[-1]]) ** 2).sum(axis=1))
        square[picks] = -1
    return picks


@settings(max_examples=200)
@given(POINTS, st.data())
def test_it_is_the_plain_loop_however_few_points_are_looked_at_together(points, data):
    k = data.draw(st.integers(0, len(points)))
    ahead, kcenter.AHEAD = kcenter.AHEAD, data.draw(st.integers(1, 8))
    try:
        assert k_center(points, k).pick_K.tolist() == plain(points, k)
    finally:
        kcenter.AHEAD = ahead


@settings(max_examples=100)
@given(FEW, st.integers(1, 3))
def test_no_k_points_cover_twice_as_well(points, k):
    k = min(k, len(points))
    ours = float(nearest(points, points[k_center(points, k).pick_K]).max())
    best = min(float(nearest(points, points[list(each)]).max()) for each in combinations(range(len(points)), k))
    assert ours <= 2 * best + 1e-6


@settings(max_examples=100)
@given(POINTS, st.data())
def test_a_shorter_core_set_is_the_start_of_a_longer_one(points, data):
    k = data.draw(st.integers(0, len(points)))
    whole = k_center(points, len(points))
    part = k_center(points, k)
    assert np.array_equal(part.pick_K, whole.pick_K[:k])
    if 0 < k < len(points):  # the next pick's distance is the radius that the first k cover
        assert nearest(points, points[part.pick_K]).max() == whole.distance_K[k]
