"""Greedy k-center: pick the point farthest from everything picked so far, again and again.

Formula  pick argmax over i of min over picks c of d(i, c), ties by the lowest position; d is the Euclidean distance of the points rounded
         to a grid of 1 / GRID, whose square is a whole number: no order of adding changes it, so that any machine, any number of threads
         and the plain loop pick the same points. The farthest distance left is at most twice that of the best k centres
Source   Gonzalez 1985 (2-approximation); core-sets for deep learning: Sener & Savarese 2018 (arXiv 1708.00489), as in Skywork-Math
         (2407.08348, section 3.2), which states neither embedding, distance nor k
Flow     under mathqa.annotate.core_set
Run      k_center(embed(texts, EmbedConfig()), 100).pick_K
Speed    The plain loop reads all points for each pick: 154 MB at 100,000 x 384. A point's distance to the picks only falls, so an old
         one is a bound: only the AHEAD points of the largest bounds are brought up to date, in tiles of centres that stay next to the
         core, and picks are made among them while no other's bound reaches theirs (lazy greedy, Minoux 1978): exact
Limits   Points must have length 1 at most, as embeddings have; distances are exact to some 0.0005 of that. It likes outliers: filter first
Shapes   N points, D dimensions, K picks, M points that are looked at, C centres and what fills up their last tile
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GRID: int = 1 << 14
"""Grid points a unit: squared distances of points of length 1 stay below 2^31."""
AHEAD: int = 2048
"""Points that are brought up to date together (ours)."""
LONGEST: float = 1.02
"""Squared length up to which a point passes for one of length 1."""
CHUNK: int = 4096
_UNKNOWN: int = np.iinfo(np.int32).max
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Cover(NamedTuple):
    """Centres in the order in which they were picked."""

    pick_K: I64
    """Positions of the points."""
    distance_K: F32
    """Distance of each pick to the nearest centre before it; never rises. Infinite for a first pick without a start."""


class _Grid(NamedTuple):
    """Points as whole numbers, and their squared lengths."""

    grid_ND: NDArray[np.int16]
    norm_N: I32


class _Bounds(NamedTuple):
    """What is known of each point's distance to the centres."""

    seen_N: I64
    """So many of the centres have been looked at."""
    square_N: I32
    """Squared distance to the nearest of these, so never below the distance to the nearest of all; TAKEN for a centre."""


def k_center(points_ND: F32, k: int, start: Sequence[int] = ()) -> Cover:
    """Pick `k` points besides the centres `start`, whose positions are never picked; without a start the first pick is point 0.

    Raises ValueError for points that are longer than 1 or hold what is no number, and where fewer than `k` points are left.
    """
    from skyloom.core.text.vector_kernels import TAKEN, pick_ahead

    points, left = _grid(points_ND), len(points_ND) - len(set(start))
    if not 0 <= k <= left:
        raise ValueError(f"k-center: k={k} of {left} points")
    if k == 0:
        return Cover(np.empty(0, np.int64), np.empty(0, np.float32))
    known = list(start) or [0]  # everything is equally far from no centre: the tie goes to point 0
    bounds = _bounds(len(points_ND))
    bounds.square_N[known] = TAKEN
    count, stop = len(known), len(start) + k
    centres = _centres(points, known, stop)
    pick_C, far_C = np.zeros(stop, np.int64), np.full(stop, _UNKNOWN, np.int32)
    pick_C[:count] = known
    while count < stop:
        at_M, rest = _farthest(bounds.square_N)
        _approach(points, at_M, centres, count, bounds)
        count = pick_ahead(*points, at_M, rest, *centres, pick_C, far_C, count, stop, *bounds)
    return Cover(pick_C[len(start) :], _distance(far_C[len(start) :]))


def nearest(points_ND: F32, centres_KD: F32) -> F32:
    """Distance of every point to the nearest of at least one centre; the largest is the radius that the centres cover."""
    points, bounds, count = _grid(points_ND), _bounds(len(points_ND)), len(centres_KD)
    centres = _centres(_grid(centres_KD), list(range(count)), count)
    _approach(points, np.arange(len(points_ND)), centres, count, bounds)
    return _distance(bounds.square_N)


def _grid(points_ND: F32) -> _Grid:
    grid_ND = np.empty(points_ND.shape, np.int16)
    norm_N = np.empty(len(points_ND), np.int32)
    for start in range(0, len(points_ND), CHUNK):
        part_MD = points_ND[start : start + CHUNK].astype(np.float64)
        fits_M = np.square(part_MD).sum(axis=1) <= LONGEST
        if not fits_M.all():
            raise ValueError(
                f"k-center: point {start + int(fits_M.argmin())} is longer than 1 or holds what is no number"
            )
        whole_MD = np.rint(part_MD * GRID)
        grid_ND[start : start + CHUNK] = whole_MD
        norm_N[start : start + CHUNK] = np.square(whole_MD).sum(axis=1)
    return _Grid(grid_ND, norm_N)


def _bounds(count: int) -> _Bounds:
    return _Bounds(np.zeros(count, np.int64), np.full(count, _UNKNOWN, np.int32))


def _centres(points: _Grid, known: Sequence[int], room: int) -> _Grid:
    """Some of the points; the first of them again in every row that is left of `room`, rounded up to whole tiles."""
    from skyloom.core.text.vector_kernels import TILE

    at_C = np.full(-(-room // TILE) * TILE, known[0], np.int64)
    at_C[: len(known)] = known
    return _Grid(points.grid_ND[at_C], points.norm_N[at_C])


def _approach(points: _Grid, at_M: I64, centres: _Grid, count: int, bounds: _Bounds) -> None:
    """Bring some points up to date with the first `count` centres, each core a part of them."""
    from skyloom.core.text.vector_kernels import approach

    workers = os.cpu_count() or 1
    size = min(AHEAD, -(-len(at_M) // workers))
    with ThreadPoolExecutor(workers) as pool:
        tasks = [
            pool.submit(approach, *points, at_M[begin : begin + size], *centres, count, *bounds)
            for begin in range(0, len(at_M), max(size, 1))
        ]
    for task in tasks:
        task.result()


def _farthest(square_N: I32) -> tuple[I64, tuple[int, int]]:
    """The AHEAD points of the largest bounds, equal ones by position, in ascending order; and the bound and position that come next."""
    count = len(square_N)
    if count <= AHEAD:
        return np.arange(count), (-2, count)
    rank_N = square_N.astype(np.int64) * count + np.arange(count - 1, -1, -1)
    order_N = np.argpartition(rank_N, count - AHEAD - 1)
    after = int(order_N[count - AHEAD - 1])
    return np.sort(order_N[count - AHEAD :]), (int(square_N[after]), after)


def _distance(square_N: I32) -> F32:
    """Squares of grid steps as distances."""
    distance_N = np.sqrt(square_N.astype(np.float64)) / GRID
    distance_N[square_N == _UNKNOWN] = np.inf
    return distance_N.astype(np.float32)
