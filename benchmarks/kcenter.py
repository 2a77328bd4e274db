"""Greedy k-center over 100,000 points of 384 dimensions: 10,000 centres, on points without any structure and on clusters.

Peer     the plain loop in numpy (one matrix-vector product a pick, as the k-center of active-learning tools is written), timed over its
         first picks and scaled to as many as ours makes
Input    generated unit vectors: any direction as likely as another (the worst case: no bound is far from another), and 5,000 clusters
Checked  the first 1,000 picks (quick: 200) are those of the plain loop in exact numbers; the radius covered is below a random choice's
Run      python benchmarks/kcenter.py [--quick]
"""

import json
import resource
import sys
import time
from typing import NamedTuple

import numpy as np

from skyloom.core.rng import stream
from skyloom.core.text.kcenter import GRID, k_center, nearest

DIMS = 384
PEER_PICKS = 100


class Size(NamedTuple):
    """How much."""

    points: int
    centres: int
    exact: int
    clusters: int


def unit(points):
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def uniform(size: Size):
    return unit(stream(20260103, "uniform").standard_normal((size.points, DIMS), np.float32))


def clustered(size: Size):
    rng = stream(20260103, "clusters")
    middle = unit(rng.standard_normal((size.clusters, DIMS), np.float32))
    around = rng.standard_normal((size.points, DIMS), np.float32) * np.float32(0.4 / DIMS**0.5)
    return unit(middle[rng.integers(0, size.clusters, size.points)] + around)


def plain(points, k):
    """Unit vectors in 32-bit floats: 2 - 2 x.c; close to ours, not exact."""
    square, pick = np.full(len(points), np.inf, np.float32), 0
    for _ in range(k):
        np.minimum(square, 2 - 2 * (points @ points[pick]), out=square)
        pick = int(square.argmax())


def exact(points, k):
    """The definition, in 64-bit floats that hold whole numbers."""
    grid = np.rint(points.astype(np.float64) * GRID)
    norm = np.square(grid).sum(axis=1)
    square, picks = np.full(len(grid), np.inf), []
    for _ in range(k):
        picks.append(int(square.argmax()))
        np.minimum(square, norm + norm[picks[-1]] - 2 * (grid @ grid[picks[-1]]), out=square)
        square[picks] = -1
    return picks


def measure(name, points, size: Size):
    started = time.perf_counter()
    cover = k_center(points, size.centres)
    took = time.perf_counter() - started
    if cover.pick_K[: size.exact].tolist() != exact(points, size.exact):
        raise SystemExit(f"{name}: other picks than the plain loop's")
    random = stream(20260103, "random").choice(size.points, size.centres, replace=False)
    ours, theirs = (float(nearest(points, points[picks]).max()) for picks in (cover.pick_K, random))
    if ours >= theirs:
        raise SystemExit(f"{name}: radius {ours}, of a random choice {theirs}")
    started = time.perf_counter()
    plain(points, PEER_PICKS)
    peer = (time.perf_counter() - started) * size.centres / PEER_PICKS
    print(
        f"{name:10} {took:6.1f} s, plain loop {peer:6.1f} s; first {size.exact:,} picks the same; "
        f"radius {ours:.3f}, random {theirs:.3f}",
        flush=True,
    )
    return {"seconds": took, "peer": peer, "radius": ours, "random_radius": theirs}


def main() -> None:
    size = Size(10_000, 1_000, 200, 500) if "--quick" in sys.argv[1:] else Size(100_000, 10_000, 1_000, 5_000)
    k_center(uniform(size)[:100], 10)  # compile
    found = {name: measure(name, make(size), size) for name, make in (("uniform", uniform), ("clustered", clustered))}
    worst = max(found.values(), key=lambda each: each["seconds"])
    line = {"name": "kcenter", "ours": round(worst["seconds"], 2), "peer": round(worst["peer"], 2)}
    line |= {"ratio": round(worst["peer"] / worst["seconds"], 2), "repeats": 1}
    line |= {"unit": f"s for {size.centres:,} of {size.points:,} x {DIMS}, the slower input (less is better)"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({**line, **found, "peak_gb": round(peak, 2)}))


if __name__ == "__main__":
    main()
