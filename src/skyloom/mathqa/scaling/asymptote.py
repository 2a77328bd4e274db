"""Where a saturating law levels off, by its profile likelihood; or the reason why these points do not say.

Formula  profile of E: SSE(E) = least SSE over B >= 0 and alpha. Interval: all E with SSE(E) <= SSE_min (1 + F(0.95; 1, n - 3) / (n - 3)).
         E is told only where that interval ends on both sides before a bound: E's ceiling, or an alpha at the end of its range
Source   profile likelihood for non-identifiable parameters: Raue et al. 2009
Flow     scaling/fit.py
Limits   Points that rise along a straight line in log2 N fit any far ceiling equally well; most published curves are such a case.
Shapes   C cells, G values of E, A values of alpha
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_law

from skyloom.mathqa.scaling.laws import ALPHA, Array

TRIED: int = 201
"""Values of E between the lowest point and the ceiling."""
ALPHAS: int = 97


class Asymptote(NamedTuple):
    """The rising measure's limit."""

    value: float
    low: float
    high: float
    refusal: str
    """Empty where the interval ends on both sides before a bound; else why the limit is not told."""


def profile(x_C: Array, weight_C: Array, y_C: Array, ceiling: float, confidence: float = 0.95) -> Asymptote:
    """The limit of E - B N^-alpha with its profile interval; needs four cells or more.

    A straight line as good as the law is told by an interval that reaches the ceiling."""
    n = len(y_C)
    u_C = x_C - float(np.average(x_C, weights=weight_C))
    e_G = np.linspace(float(y_C.min()), ceiling, TRIED)
    alpha_A = np.geomspace(*ALPHA, ALPHAS)
    v_AC = -np.exp2(-alpha_A[:, None] * u_C)
    gap_GC = y_C - e_G[:, None]
    b_GA = np.maximum((gap_GC * weight_C) @ v_AC.T / ((v_AC**2) @ weight_C), 0.0)
    # sum over cells of w (gap - b v)^2, multiplied out: no array of G x A x C
    sse_GA = (
        ((gap_GC**2) @ weight_C)[:, None] - 2 * b_GA * ((gap_GC * weight_C) @ v_AC.T) + b_GA**2 * ((v_AC**2) @ weight_C)
    )
    sse_G, at_G = sse_GA.min(axis=1), sse_GA.argmin(axis=1)
    limit = float(sse_G.min()) * (1 + float(f_law.ppf(confidence, 1, n - 3)) / (n - 3))
    inside_G = np.flatnonzero(sse_G <= limit)
    low, high = float(e_G[inside_G[0]]), float(e_G[inside_G[-1]])
    value = float(e_G[int(sse_G.argmin())])
    edges = {0, ALPHAS - 1} & {int(at_G[inside_G[0]]), int(at_G[inside_G[-1]])}
    refusal = ""
    if inside_G[-1] == TRIED - 1:
        refusal = "it reaches the bound of the measure itself"
    elif inside_G[0] == 0 or edges or math.isclose(low, high):
        refusal = "its end stands at the end of what alpha may be"
    return Asymptote(value, low, high, refusal)
