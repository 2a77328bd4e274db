"""k-center: the same picks as the plain loop at k = 1,000, thread by thread, and what it refuses."""

import numpy as np
import pytest

from skyloom.core.rng import stream
from skyloom.core.text import kcenter
from skyloom.core.text.kcenter import GRID, k_center, nearest


def sphere(count, dims, seed=0):
    """Points of length 1, any direction as likely as another."""
    points = stream(seed, "sphere", count).normal(size=(count, dims))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def clustered(count, dims, centres, spread, seed=0):
    """Points of length 1 around some centres."""
    rng = stream(seed, "clustered", count)
    points = (
        sphere(centres, dims, seed)[rng.integers(0, centres, count)] + rng.normal(0, spread, (count, dims)) / dims**0.5
    )
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def plain(points, k, start=()):
    """The loop of the definition, in 64-bit whole numbers."""
    grid = np.rint(points.astype(np.float64) * GRID)
    square = np.full(len(grid), np.inf)
    picks, distances = [], []
    for pick in start:
        square = np.minimum(square, ((grid - grid[pick]) ** 2).sum(axis=1))
    square[list(start)] = -1
    for _ in range(k):
        pick = int(square.argmax())  # the first of equal ones
        picks.append(pick)
        distances.append(square[pick] ** 0.5 / GRID)
        square = np.minimum(square, ((grid - grid[pick]) ** 2).sum(axis=1))
        square[[*start, *picks]] = -1
    return picks, np.array(distances, np.float32)


@pytest.mark.parametrize("kind", ["sphere", "clustered", "copies"])
def test_the_same_picks_as_the_plain_loop(kind):
    """More points than are looked at together, so that old bounds decide; of copies, most distances are ties."""
    points = {
        "sphere": lambda: sphere(5000, 24),
        "clustered": lambda: clustered(5000, 24, 150, 0.05),
        "copies": lambda: np.repeat(sphere(700, 24), 8, axis=0)[stream(0, "order").permutation(5600)],
    }[kind]()
    assert len(points) > 2 * kcenter.AHEAD
    picks, distances = plain(points, 1000)
    got = k_center(points, 1000)
    assert got.pick_K.tolist() == picks
    assert np.array_equal(got.distance_K, distances)
    assert np.all(got.distance_K[1:] <= got.distance_K[:-1])


def test_given_centres_count_and_are_not_picked():
    points = clustered(3000, 16, 40, 0.1)
    start = [17, 4, 2999]
    picks, distances = plain(points, 200, start)
    got = k_center(points, 200, start)
    assert got.pick_K.tolist() == picks
    assert np.array_equal(got.distance_K, distances)
    assert not set(start) & set(picks)


def test_every_point_once_when_all_are_picked():
    points = np.zeros((kcenter.AHEAD + 500, 8), np.float32)  # all the same: every choice is a tie
    got = k_center(points, len(points))
    assert got.pick_K.tolist() == list(range(len(points)))
    assert got.distance_K[0] == np.inf
    assert not got.distance_K[1:].any()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    points = sphere(4500, 16)
    several = k_center(points, 300)
    monkeypatch.setattr(kcenter.os, "cpu_count", lambda: 1)
    alone = k_center(points, 300)
    assert np.array_equal(several.pick_K, alone.pick_K)
    assert np.array_equal(several.distance_K, alone.distance_K)


def test_nearest_is_the_smallest_distance():
    points = sphere(3000, 33)
    centres = points[:101]
    wanted = np.linalg.norm(points[:, None, :].astype(np.float64) - centres[None], axis=2).min(axis=1)
    assert np.abs(nearest(points, centres) - wanted).max() < 0.0005
    assert not nearest(points, points)[:50].any()


def test_a_core_set_covers_more_than_a_random_one():
    points = clustered(4000, 48, 300, 0.05)
    picks = k_center(points, 300).pick_K
    random = stream(1, "random").choice(4000, 300, replace=False)
    assert nearest(points, points[picks]).max() < nearest(points, points[random]).max() / 2


def test_nothing_to_pick_and_too_much():
    points = sphere(5, 8)
    assert k_center(points, 0).pick_K.shape == (0,)
    assert k_center(points[:0], 0).distance_K.shape == (0,)
    with pytest.raises(ValueError, match="k=6 of 5 points"):
        k_center(points, 6)
    with pytest.raises(ValueError, match="k=4 of 3 points"):
        k_center(points, 4, start=[1, 2, 1])


@pytest.mark.parametrize("bad", [1.1, float("nan"), float("inf")])
def test_points_that_are_no_embeddings_are_refused(bad):
    points = sphere(5, 8)
    points[3, 0] = bad
    with pytest.raises(ValueError, match="point 3 is longer than 1"):
        k_center(points, 2)
