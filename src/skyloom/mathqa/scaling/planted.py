"""Grids of cells whose law is known: what the fitter must find again, with the noise that real grids have.

Formula  item i of seed s at N rows is right where Phi(r z_i + sqrt(1 - r^2) e_iNs) < law(N) + d_Ns; d normal between seeds, z shared by all
         cells (easy and hard items), e its own: the mean over all possible items is the law
Source   ours; seeds of one size differ by 0.02 to 0.05 in accuracy on the problem world
Flow     tests and experiments/mathqa_scaling.py --part planted
Shapes   C cells, I items
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skyloom.mathqa.scaling.points import Points, of_items

SIZES: tuple[int, ...] = (500, 1_000, 2_000, 4_000, 8_000, 16_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How large a simulated grid is and how noisy."""

    sizes: tuple[int, ...] = SIZES
    seeds: int = 3
    items: int = 1_000
    spread: float = 0.03
    """Standard deviation between seeds of one size."""
    shared: float = 0.8
    """Correlation r of an item's results over cells, before the cut."""


def log_linear(x: float) -> float:
    """Seven points a doubling."""
    return 0.2 + 0.07 * (x - np.log2(500))


def saturating(x: float) -> float:
    """0.7 at most, 0.2 at 500 rows."""
    return 0.7 - 0.5 * 2 ** (-0.6 * (x - np.log2(500)))


def broken(x: float) -> float:
    """Twelve points a doubling up to 3,000 rows, then two."""
    return 0.1 + 0.12 * (x - np.log2(500)) - 0.10 * max(x - np.log2(3_000), 0.0)


CURVES: Mapping[str, Callable[[float], float]] = {"log-linear": log_linear, "saturating": saturating, "broken": broken}
"""Law -> the accuracy at x = log2 N."""


def grid(curve: Callable[[float], float], plan: Plan, rng: np.random.Generator) -> Points:
    """One simulated grid of the curve."""
    ease_I: NDArray[np.float64] = plan.shared * rng.standard_normal(plan.items)
    own = np.sqrt(1 - plan.shared**2)
    rows: list[int] = []
    item_CI: list[list[float]] = []
    for size in plan.sizes:
        for _ in range(plan.seeds):
            share = float(np.clip(curve(np.log2(size)) + plan.spread * rng.standard_normal(), 1e-3, 1 - 1e-3))
            right_I = ease_I + own * rng.standard_normal(plan.items) < ndtri(share)
            rows.append(size)
            item_CI.append(right_I.astype(np.float64).tolist())
    return of_items("planted", "accuracy", rows, item_CI)


def true_slope(curve: Callable[[float], float], plan: Plan) -> float:
    """The derivative of the curve in log2 N at the largest size, from the left."""
    x = float(np.log2(max(plan.sizes)))
    return (curve(x) - curve(x - 1e-6)) / 1e-6
